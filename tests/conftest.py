"""For all tests: nothing is asserted about time."""

from hypothesis import settings

settings.register_profile("comity", deadline=None)
settings.load_profile("comity")
