"""Benchmarks: what the product promises about speed, each figure beside its reference from the same run."""
