"""`scores`: which there are, and what one takes."""

from blackbox_conformal.cli.catalogue_commands import commands

command = commands("scores", "scores", "--score", "Which maps can say where the vendor is undecided.")
