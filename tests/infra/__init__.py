"""Real components for tests, built from package registries and started on loopback by the tests themselves."""
