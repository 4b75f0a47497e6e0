"""Collect comparisons with other implementations, and what needs them, only where `requirements.txt` is installed."""

from importlib.util import find_spec

NEEDED = {
    "test_oracles.py": ("mapie", "riskgate", "crepes"),
    "test_mapie_names.py": ("mapie",),
    "test_martingales.py": ("mapie", "online_cp"),
    "test_power_bets.py": ("scipy",),
    "test_apprise.py": ("apprise",),
    "test_signature_oracles.py": ("nacl", "cryptography"),
    "test_annotation_formats.py": ("pycocotools", "krippendorff"),
}
collect_ignore = [file for file, packages in NEEDED.items() if not all(map(find_spec, packages))]
