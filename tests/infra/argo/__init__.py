"""Argo Workflows, which starts pods on the Kubernetes beside it."""
