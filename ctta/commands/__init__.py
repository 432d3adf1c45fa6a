"""The commands that `ctta.cli` does not hold itself: one module each, whose `main` gets the arguments."""
