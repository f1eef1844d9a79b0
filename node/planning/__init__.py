"""Plans made better by OR-tools, in a process of its own, and proven bounds: the adapter behind ``Improving``."""
