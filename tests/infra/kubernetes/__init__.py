"""Kubernetes: one node, built from its own sources, that runs real pods."""
