"""The signed catalog: content identifiers, keys, canonical values, Merkle logs and the entries in them.

Nothing here reads a file, a clock or a socket; every function of this room is a value in, a value out.
"""
