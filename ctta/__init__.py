"""Continual test-time adaptation: streams, source models, methods, an online loop, results."""

__version__ = "0.1.0"
