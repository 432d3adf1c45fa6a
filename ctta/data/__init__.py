"""Data sets: clean images, their corruptions, and the training data of a source model."""
