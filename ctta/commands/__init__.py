"""Commands in a module each, whose `main` gets the arguments; `ctta.cli` has the others.

`progress` is what they show while something takes long.
"""
