"""`python -m blackbox_conformal` is the command line."""

from blackbox_conformal.cli.main import main

main()
