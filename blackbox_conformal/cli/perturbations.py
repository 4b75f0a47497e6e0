"""`perturbations`: which there are, and what one takes."""

from blackbox_conformal.cli.catalogue_commands import commands

command = commands(
    "perturbations",
    "images.perturbation",
    "--perturb",
    "Which changes of the input vary the draws.",
)
