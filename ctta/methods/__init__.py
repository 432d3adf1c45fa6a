"""Adaptation methods, one file a method."""
