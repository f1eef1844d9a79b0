"""The Docker runner: one container per step, through the daemon's own client."""
