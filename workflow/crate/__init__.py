"""A finished submission as a Workflow Run RO-Crate: what it is made of, what it says, and how it is checked offline."""
