"""What a site allows: labels, purposes, policy and decisions.

Nothing here reads a file, a clock or a socket; every function of this room is a value in, a value out.
"""
