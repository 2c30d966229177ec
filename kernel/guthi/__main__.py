"""`python -m guthi` is the command `guthi`."""

from guthi.cli import main

main()
