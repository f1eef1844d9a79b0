"""The documentation, held to what the product does."""
