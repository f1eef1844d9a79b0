"""Workflows: CWL in, typed values out. Nothing here reads a file, opens a socket or looks at a clock."""
