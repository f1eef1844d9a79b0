"""Disclosure control: what of a table, a statistic or a model may leave, also beside what left before it."""
