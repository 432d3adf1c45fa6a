"""A data set, a stream and a source model for ctta."""
