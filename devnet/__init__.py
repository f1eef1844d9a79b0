"""A whole consortium on one machine: real node processes on loopback, to play with, to show, and to break."""
