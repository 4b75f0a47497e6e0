"""A tiny package of somebody else that brings one plug-in of each kind: a folder and its dist-info."""

import zipfile
from pathlib import Path

CODE = '''
from typing import ClassVar

import numpy as np

from blackbox_conformal.annotations.formats.format import Format
from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.degradations.parameter_range import between
from blackbox_conformal.method.guarantees.guarantee import Guarantee
from blackbox_conformal.method.guarantees.guarantee import Claim
from blackbox_conformal.method.guarantees.expected import Expected
from blackbox_conformal.method.images.perturbation.perturbation import Perturbation
from blackbox_conformal.method.metrics.metric import Metric
from blackbox_conformal.method.scores.score import Score


class Look:
    """Keeps the lowest and the highest value of each pixel."""

    def __init__(self, shape, power):
        self.power = power
        self.low, self.high = np.full(shape, 255, np.uint8), np.zeros(shape, np.uint8)

    def update(self, *draws):
        for draw in draws:
            self.low, self.high = np.minimum(self.low, draw.min(2)), np.maximum(self.high, draw.max(2))

    def merge(self, other):
        self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)

    def finish(self, context):
        return ((self.high - self.low.astype(np.float32)).clip(0) / 255) ** np.float32(self.power)


class Spread(Score):
    """The range of all values of a pixel over draws and channels.

    Attributes
    ----------
    power
        What the range is raised to.
    """

    power: float = 1.0

    def start(self, shape):
        return Look(shape, self.power)


class Green(Metric):
    """The difference of the green channel."""

    space: ClassVar[str] = "green"

    @property
    def bound(self):
        return 1.0

    def map(self, truth, delivered):
        return np.abs(truth[..., 1].astype(np.float32) - delivered[..., 1]) / np.float32(255)


class Careful(Guarantee):
    """Half the level of expected."""

    theorem: ClassVar[str] = "the theorem of expected at half the level"
    bounds_tile_means: ClassVar[bool] = True

    def _threshold(self, curves, alpha):
        return Expected()._threshold(curves, alpha / 2)

    def risk(self, curves, threshold):
        return 2 * Expected().risk(curves, threshold)

    def levels(self, curves):
        return 2 * Expected().levels(curves)

    def minimum_images(self, alpha, bound):
        return Expected().minimum_images(alpha / 2, bound)

    def reachable_alpha(self, n, bound):
        return 2 * Expected().reachable_alpha(n, bound)

    def statement(self, alpha, n, error="error"):
        return f"On average the largest {error} is at most half of {alpha:g} ({n} photographs)."

    def claim(self, losses, alpha, bound):
        return Claim(losses, alpha / 2, bound)

    def quantity(self, unit, error="error"):
        return f"the mean over {unit} of the largest trusted error, claimed to be at most half of alpha"


class Upside(Perturbation):
    """Every second draw is upside down."""

    @property
    def maximum_draws(self):
        return 2

    def apply(self, pixels, index):
        return np.ascontiguousarray(pixels[::-1]) if index else pixels

    def undo(self, pixels, index, scale):
        return np.ascontiguousarray(pixels[::-1]) if index else pixels


class Fade(Degradation):
    """Less contrast.

    Attributes
    ----------
    levels
        How far black is from 0, and white from 255, or a range of it.
    """

    main: ClassVar[str] = "levels"

    levels: between(0, 100, whole=True)

    def apply(self, pixels, random, size):
        return np.clip(pixels, int(self.levels.low), 255 - int(self.levels.low))


class Everything(Format):
    """A file that marks every pixel."""

    def read(self, request):
        return np.full(request.size, request.level("all"), np.uint8)
'''

ENTRY_POINTS = """
[blackbox_conformal.scores]
spread = tiny_ideas.ideas:Spread
texture = tiny_ideas.ideas:Spread
broken = there_is_no_such_package.module:Score
wrong = tiny_ideas.ideas:Green

[blackbox_conformal.metrics]
green = tiny_ideas.ideas:Green
rgb-l1 = tiny_ideas.ideas:Green

[blackbox_conformal.guarantees]
careful = tiny_ideas.ideas:Careful
expected = tiny_ideas.ideas:Careful

[blackbox_conformal.degradations]
fade = tiny_ideas.ideas:Fade
blur = tiny_ideas.ideas:Fade

[blackbox_conformal.perturbations]
upside = tiny_ideas.ideas:Upside

[blackbox_conformal.annotation_formats]
everything = tiny_ideas.ideas:Everything
coco = tiny_ideas.ideas:Everything
"""


def install(site: Path, version: str = "1.0") -> Path:
    """Write the package into the folder `site`, which a program has on its path."""
    package, information = site / "tiny_ideas", site / "tiny_ideas.dist-info"
    package.mkdir(parents=True, exist_ok=True)
    information.mkdir(exist_ok=True)
    (package / "__init__.py").write_text("")
    (package / "ideas.py").write_text(CODE)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: tiny-ideas\nVersion: {version}\n")
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    return site


def pack(site: Path, folder: Path, version: str = "1.0") -> Path:
    """The package in `site` as a wheel in `folder`, as `pip install` takes it."""
    wheel, information = folder / f"tiny_ideas-{version}-py3-none-any.whl", f"tiny_ideas-{version}.dist-info"
    tag = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {f"tiny_ideas/{path.name}": path.read_text() for path in (site / "tiny_ideas").glob("*.py")}
    files |= {f"{information}/{path.name}": path.read_text() for path in (site / "tiny_ideas.dist-info").iterdir()}
    files[f"{information}/WHEEL"] = tag
    files[f"{information}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{information}/RECORD"])
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel
