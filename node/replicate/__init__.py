"""Logs between sites: fetch what is new, verify it as append-only, cosign it. Pure: effects go through ports."""
