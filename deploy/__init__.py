"""What the infrastructure of an operator needs for a node: shown, put there, and taken away again."""
