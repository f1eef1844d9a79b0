"""Runners: what executes a step with no network, a read-only root, no capabilities, and limits; and collection."""
