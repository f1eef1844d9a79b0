"""Kubo, the reference implementation of IPFS."""
