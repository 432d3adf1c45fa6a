"""Tables of results, and the published numbers that stand beside them."""
