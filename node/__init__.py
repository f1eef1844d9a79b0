"""One running site: the pure core (automator, bus, replicate) and the adapters that it meets in ``node/site.py``."""
