"""MyMethod for ctta."""
