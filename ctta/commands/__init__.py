"""The commands that compose no configuration: one module each, whose `main` gets the arguments."""
