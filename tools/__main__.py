"""`python -m microai`: the command line."""

from .cli import main

main()
