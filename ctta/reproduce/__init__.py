"""Published numbers, run again and compared."""
