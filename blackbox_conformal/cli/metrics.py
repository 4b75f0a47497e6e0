"""`metrics`: which there are, and what one takes."""

from blackbox_conformal.cli.catalogue_commands import commands

command = commands("metrics", "metrics", "--metric", "Which maps can say how wrong a delivered picture is.")
