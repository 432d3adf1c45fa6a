"""Streams: the order in which labelled batches come, with two hashes."""
