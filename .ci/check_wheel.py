"""What must be in the wheel, and what must not."""

import re
import sys
import zipfile
from pathlib import PurePosixPath

wheel = zipfile.ZipFile(sys.argv[1])
names = set(wheel.namelist())
top = {PurePosixPath(name).parts[0] for name in names}
wanted = {"blackbox_conformal", "blackbox_adapters"}
extra = {name for name in top - wanted if not name.endswith(".dist-info")}
needed = [
    "blackbox_conformal/py.typed",
    "blackbox_adapters/py.typed",
    "blackbox_conformal/embedded/LICENSE.real-esrgan",
    "blackbox_conformal/embedded/colour_weights.npz",
    "blackbox_conformal/embedded/real_esrgan_weights.npz",
    "blackbox_conformal/embedded/weights.npz",
    "blackbox_conformal/method/images/reference_degraded_weights.npz",
    "blackbox_conformal/method/images/reference_weights.npz",
    "blackbox_conformal/method/scores/learned_weights.npz",
    "blackbox_conformal/method/scores/predicted_invention_weights.npz",
    "blackbox_conformal/docs/guarantees.md",
    "blackbox_conformal/photographs/README.md",
    "blackbox_conformal/photographs/astronaut.jpg",
    "blackbox_conformal/docs/pictures/demo.webp",
    "blackbox_conformal/pages/templates/figure.svg.jinja",
    "blackbox_conformal/pages/templates/plots.svg.jinja",
    "blackbox_conformal/pages/report/templates/report.html.jinja",
    "blackbox_adapters/recipes/bria.toml",
]
missing = [name for name in needed if name not in names]
if extra or missing or not wanted <= top:
    sys.exit(f"wheel: unexpected top-level names {sorted(extra)}, missing {missing}")
(metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
description = wheel.read(metadata).decode().partition("\n\n")[2]
relative = re.findall(r"\]\((?!https?:)[^)]*\)", description)
if "## Use it with your vendor" not in description or relative:
    sys.exit(f"wheel: the description is not the README, or has links that lead nowhere outside a checkout: {relative}")
print(f"wheel: {len(names)} files, {', '.join(sorted(wanted))}")
