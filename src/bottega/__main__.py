"""`python -m bottega` is the command line."""

from bottega.entrypoints.cli.app import main

main()
