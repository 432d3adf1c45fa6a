"""A module a command; `main` gets its arguments and returns the exit status.

`progress` is what they show while something takes long.
"""
