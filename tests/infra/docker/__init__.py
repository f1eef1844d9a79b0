"""Docker, as Debian packages it."""
