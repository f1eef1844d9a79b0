"""A consortium in one process: the real core over a seeded clock, network and disk."""
