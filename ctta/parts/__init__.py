"""What methods share, each part under its own name."""
