"""T3A for ctta."""
