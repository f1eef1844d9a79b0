"""The ``comity`` command, one file per group of verbs."""
