"""The online loop and what it writes."""
