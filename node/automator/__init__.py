"""The automator: one order from its arrival to its receipt. Pure: effects go through ports.

verify → decide → durable intent → stage, run, collect → hold → decide release → durable result → receipt.
"""
