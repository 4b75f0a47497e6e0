"""How inputs are made from photographs: steps one after the other, or a mixture of such chains.

As typed: ``area:4+noise:3+jpeg:60-95``; ``60% bicubic:4 | 40% area:4+jpeg:75`` for a mixture. A preset such as
``phone`` stands for its chain.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blackbox_conformal.errors import ImageError, UsageError
from blackbox_conformal.method.degradations.degradation import Degradation
from blackbox_conformal.method.degradations.random_numbers import RandomNumbers
from blackbox_conformal.method.degradations.reduction import Reduction
from blackbox_conformal.support import catalog
from blackbox_conformal.support.types import Image

FAMILY = "degradations"
MOST_CHAINS = 256


@dataclass(frozen=True, slots=True)
class Chain:
    """Steps, at least one, that are applied one after the other."""

    steps: tuple[Degradation, ...]

    @property
    def scale(self) -> int | None:
        """Return how many times smaller it makes a picture; None where it makes any size that it is asked for."""
        product = 1
        for step in self.steps:
            if isinstance(step, Reduction) and step.factor is not None:
                product *= step.factor
            elif step.resizes:
                return None
        return product

    @property
    def random(self) -> bool:
        """Whether a photograph could become several inputs."""
        return any(step.random for step in self.steps)

    def apply(self, pixels: Image, size: tuple[int, int], *key: str | int) -> Image:
        """Return the input, uint8 of `size` = (height, width); `key` says which random numbers are drawn."""
        for step, random in self._drawn(*key):
            pixels = step.apply(pixels, random, size)
        return pixels

    def drawn(self, *key: str | int) -> "Chain":
        """Return what `apply` does with this key: the steps not left out, with a single number for each range."""
        return Chain(tuple(step for step, _ in self._drawn(*key)))

    def _drawn(self, *key: str | int) -> Iterator[tuple[Degradation, RandomNumbers]]:
        for index, step in enumerate(self.steps):
            random = RandomNumbers(*key, index)
            if step.chance == 1 or random.uniform() < step.chance:
                yield step.drawn(random), random

    def at(self, scale: int) -> "Chain":
        """Return the same with every factor written out, where it follows from `scale`."""
        if scale == 1 and all(isinstance(step, Reduction) for step in self.steps):
            raise UsageError(
                f"expected a degradation that a vendor of scale 1 can undo, such as noise:10, jpeg:30, blur:2 or grey; "
                f"{self.text} changes nothing at that size. Give --degradation"
            )
        made, own = self.scale, [place for place, step in enumerate(self.steps) if step.resizes]
        if made == scale:
            return self
        if made is not None:
            advice = f"begin with bicubic:{scale}+" if not own else "change one of them"
            raise UsageError(
                f"expected a degradation that makes pictures {scale} times smaller, as the vendor makes them larger; "
                f"{self.text} makes them {made} times smaller: {advice}"
            )
        last = self.steps[own[-1]]
        if not isinstance(last, Reduction) or last.factor is not None:
            raise UsageError(
                "expected a chain whose last step that resizes brings the size that is sent, such as bicubic without "
                f"a factor; got {self.text}. Add +bicubic"
            )
        before = Chain(self.steps[: own[-1]])
        known = before.scale
        if known is None:
            return self
        if scale % known:
            raise UsageError(f"expected factors that divide {scale}; got {self.text}. Change them or give --scale")
        step = last.model_copy(update={"factor": scale // known})
        return Chain((*before.steps, step, *self.steps[own[-1] + 1 :]))

    @property
    def text(self) -> str:
        """Return it as it is typed, without defaults."""
        return "+".join(_typed(step, short=True) for step in self.steps)

    @property
    def specification(self) -> str:
        """Return it with every parameter; a step of another package with that package's version."""
        return "+".join(_typed(step, short=False) for step in self.steps)


@dataclass(frozen=True, slots=True)
class Mixture:
    """Chains, of which each photograph goes through one, as likely as `shares` say, which add up to 1."""

    shares: tuple[float, ...]
    chains: tuple[Chain, ...]

    @classmethod
    def of_text(cls, text: str) -> "Mixture":
        return _parsed(text)

    @property
    def scale(self) -> int | None:
        """Return how many times smaller it makes a picture; None where it makes any size that it is asked for."""
        scales = {chain.scale for chain in self.chains} - {None}
        return scales.pop() if len(scales) == 1 else None

    @property
    def resizes(self) -> bool:
        """Whether any photograph changes its size."""
        return any(step.resizes for chain in self.chains for step in chain.steps)

    @property
    def random(self) -> bool:
        """Whether a photograph could become several inputs."""
        return len(self.chains) > 1 or self.chains[0].random

    @property
    def linear(self) -> bool:
        """Whether every photograph undergoes one known linear map, up to rounding."""
        return not self.random and all(step.linear for step in self.chains[0].steps)

    @property
    def adds_nothing(self) -> bool:
        """Whether every step is linear, so that inputs hold neither noise nor what a codec leaves."""
        return all(step.linear for chain in self.chains for step in chain.steps)

    @property
    def given(self) -> bool:
        """Whether inputs come with their photographs, so that none are made."""
        return self.chains[0].steps[0].given

    @property
    def loses_colours(self) -> bool:
        return any(step.loses_colours for chain in self.chains for step in chain.steps)

    def at(self, scale: int) -> "Mixture":
        """Return the same with every factor written out; errors as for `Chain.at`."""
        return Mixture(self.shares, tuple(chain.at(scale) for chain in self.chains))

    def linear_part(self) -> Chain:
        """Return the steps of the likeliest chain that are linear and not random: all but noise and codecs."""
        likeliest = max(range(len(self.chains)), key=lambda index: self.shares[index])
        steps = self.chains[likeliest].steps
        return Chain(tuple(step for step in steps if (step.linear or step.given) and not step.random))

    def hidden(self, pixels: Image) -> NDArray[np.bool_] | None:
        """Return where an input, (h, w, 3) uint8, shows nothing of the photograph: (h, w).

        Returns None where no chain ends with a step, such as ``holes``, whose places the input tells.
        """
        masks = [mask for chain in self.chains if (mask := chain.steps[-1].hidden(pixels)) is not None]
        return np.logical_or.reduce(masks) if masks else None

    def apply(self, pixels: Image, scale: int, *key: str | int) -> Image:
        """Return `pixels`, (H, W, 3) uint8, as an input, (H / scale, W / scale, 3) uint8; equal keys give equals."""
        if self.given:
            raise UsageError(
                "expected the input itself, since the degradation `given` makes none: give --adapter folder with "
                "-p inputs=FOLDER, or inputs=… in Python"
            )
        height, width = pixels.shape[:2]
        if height % scale or width % scale:
            raise ImageError(
                f"expected sides that are multiples of {scale}; got {width}×{height}. Cut the picture first"
            )
        chain, size = self._chosen(*key), (height // scale, width // scale)
        low = chain.apply(pixels, size, *key)
        if low.shape != (*size, pixels.shape[2]):
            raise ImageError(
                f"expected {chain.text} to give {size[1]}×{size[0]} pixels; got {low.shape[1]}×{low.shape[0]}"
            )
        return low

    def drawn(self, *key: str | int) -> Chain:
        """Return what `apply` does with this key; a chain without steps where each was left out."""
        return self._chosen(*key).drawn(*key)

    def _chosen(self, *key: str | int) -> Chain:
        if len(self.chains) == 1:
            return self.chains[0]
        place = RandomNumbers(*key, "chain").uniform()
        ends = accumulate(self.shares)
        return next((chain for end, chain in zip(ends, self.chains, strict=True) if place < end), self.chains[-1])

    @property
    def text(self) -> str:
        """Return it as it is typed, without defaults."""
        return self._joined([chain.text for chain in self.chains])

    @property
    def specification(self) -> str:
        """Return it with every parameter: what a calibration keeps."""
        return self._joined([chain.specification for chain in self.chains])

    def followed_by(self, step: str) -> str:
        """Return it as typed, with one step more at the end of each chain."""
        return self._joined([f"{chain.text}+{step}" for chain in self.chains])

    def _joined(self, texts: list[str]) -> str:
        if len(texts) == 1:
            return texts[0]
        return " | ".join(f"{100 * share:.12g}% {text}" for share, text in zip(self.shares, texts, strict=True))


@lru_cache(maxsize=64)
def _parsed(text: str) -> Mixture:
    shares, chains = zip(*_branches(text), strict=True)
    steps = [step for chain in chains for step in chain]
    if len(steps) > 1 and any(step.given for step in steps):
        raise UsageError(f"expected `given` alone, since inputs that are given undergo nothing; got {text!r}")
    return Mixture(shares, tuple(map(Chain, chains)))


def _branches(text: str) -> Iterator[tuple[float, tuple[Degradation, ...]]]:
    """Yield each chain with its share; where a preset stands for several, one chain for each of them."""
    for share, branch in _shares(text):
        alternatives = list(map(_alternatives, branch.split("+")))
        # Presets in a row multiply, and a text may come from a stranger's file.
        if prod(map(len, alternatives)) > MOST_CHAINS:
            raise UsageError(
                f"expected at most {MOST_CHAINS} chains; {branch[:60]!r} stands for more. Leave presets out"
            )
        for parts in product(*alternatives):
            yield share * prod(part for part, _ in parts), tuple(step for _, steps in parts for step in steps)


def _alternatives(typed: str) -> list[tuple[float, tuple[Degradation, ...]]]:
    name, parameters = _named(typed)
    step: Degradation = catalog.load(FAMILY, name, **parameters)
    return list(_branches(step.expansion)) if step.expansion else [(1.0, (step,))]


def _shares(text: str) -> list[tuple[float, str]]:
    branches = [branch.strip() for branch in text.split("|")]
    shares = [re.fullmatch(r"([0-9.]+)\s*%\s*(.+)", branch) for branch in branches]
    if len(branches) == 1 and shares[0] is None:
        return [(1.0, branches[0])]
    try:
        percent = [float(share[1]) for share in shares if share is not None]
    except ValueError:
        percent = []
    if len(percent) < len(branches) or min(percent) <= 0 or abs(sum(percent) - 100) > 1e-9:
        raise UsageError(f"expected shares that add up to 100 %, as in '60% bicubic | 40% area+jpeg:75'; got {text!r}")
    return [(each / 100, share[2]) for each, share in zip(percent, shares, strict=True) if share is not None]


def _named(typed: str) -> tuple[str, dict[str, Any]]:
    """Return name and parameters of a step; a value without a name is its main parameter's."""
    name, colon, rest = typed.partition(":")
    first = rest.partition(",")[0]
    if first and "=" not in first:
        main = catalog.member(FAMILY, name.strip()).main
        if not main:
            raise UsageError(f"expected {name.strip()}:KEY=VALUE; got {typed.strip()!r}")
        rest = f"{main}={rest}"
    return catalog.parse(f"{name}{colon}{rest}")


def _typed(step: Degradation, *, short: bool) -> str:
    """Write a step as it is typed; `short` leaves out defaults and the main parameter's name."""
    content = {key: value for key, value in step.specification().items() if value is not None}
    name = content.pop("name")
    if content["chance"] == 1:
        del content["chance"]
    if short:
        usual = {key: value for key, value in _defaults(step).items() if key != step.main}
        content = {key: value for key, value in content.items() if key not in usual or usual[key] != value}
        content.pop("package", None)
    main = content.pop(step.main, None)
    parts = [f"{key}={_value(value)}" for key, value in content.items()]
    if main is not None:
        parts.insert(0, _value(main) if short else f"{step.main}={_value(main)}")
    return f"{name}:{','.join(parts)}" if parts else str(name)


def _defaults(step: Degradation) -> dict[str, Any]:
    fields = type(step).model_fields
    given = {name: getattr(step, name) for name, field in fields.items() if field.is_required()}
    return type(step)(**given).model_dump(mode="json")


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.12g}" if isinstance(value, float) else str(value)
