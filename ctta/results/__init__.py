"""Metrics, records of runs, and where they are kept."""
