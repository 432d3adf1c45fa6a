"""One module a format; strings of entries are escaped in each."""
