"""Collect the comparison with other implementations only where `requirements.txt` is installed."""

from importlib.util import find_spec

collect_ignore = [] if all(map(find_spec, ("mapie", "riskgate", "crepes"))) else ["test_oracles.py"]
