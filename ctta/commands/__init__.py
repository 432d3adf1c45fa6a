"""The commands that compose no configuration: one module each, whose `main` gets the arguments.

`progress` is what they show while something takes long.
"""
