"""`guarantees`: which there are, and what one takes."""

from blackbox_conformal.cli.catalogue_commands import commands

command = commands("guarantees", "guarantees", "--guarantee", "Which promises a threshold can keep.")
