"""`python -m ctta`: the command line, with the present folder on the import path."""

from ctta.cli import main

main()
