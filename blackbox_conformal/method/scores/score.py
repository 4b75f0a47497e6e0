"""What a score is: it looks at the draws of one picture and says where the vendor is undecided."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from typing import ClassVar, Protocol, Self

import numpy as np

from blackbox_conformal.method.degradations.chain import Chain, Mixture
from blackbox_conformal.method.images.calibration_images import KnownPhotograph
from blackbox_conformal.method.images.fine_reference import fine_reference
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.support.catalog import Plugin
from blackbox_conformal.support.types import Image, Map


@dataclass(frozen=True, slots=True)
class Context:
    """One picture besides its draws.

    `delivered`: The picture handed to the user: (H, W, 3) uint8.
    `low_resolution`: What the vendor was sent: (H / scale, W / scale, 3) uint8. None when scored from draws alone.
    `scale`: Whole-number magnification from `low_resolution` to `delivered`; 1 is restoration at the same size.
    `second`: What another vendor delivers for the same input: (H, W, 3) uint8. None when no other was asked.
    `degradation`: How calibration inputs are made from photographs, without noise and codecs; None: bicubic.
    """

    delivered: Image
    low_resolution: Image | None
    scale: int
    second: Image | None = None
    degradation: Chain | None = None
    _references: dict[str, Image] = field(default_factory=dict, init=False, repr=False, compare=False)

    def reference(self, *, degraded: bool) -> Image:
        """The free reference of the input, which must be known: (H, W, 3) uint8, made at the first call."""
        return self._made("degraded" if degraded else "clean", partial(reference, degraded=degraded))

    def fine_reference(self) -> Image:
        """The fine reference, alike."""
        return self._made("fine", fine_reference)

    def _made(self, kind: str, make: Callable[[Image, int], Image]) -> Image:
        if kind not in self._references:
            assert self.low_resolution is not None
            self._references[kind] = make(self.low_resolution, self.scale)
        return self._references[kind]

    def middle(self, side: int) -> tuple["Context", slice, slice]:
        """Its middle, at most `side` pixels a side, and the rows and columns of `delivered` where that lies.

        References that were made already are cut, not made again.
        """
        assert self.low_resolution is not None
        cuts = []
        for size in self.low_resolution.shape[:2]:
            kept = min(size, side // self.scale)
            start = (size - kept) // 2
            cuts.append((slice(start, start + kept), slice(start * self.scale, (start + kept) * self.scale)))
        (low_rows, rows), (low_columns, columns) = cuts
        low = np.ascontiguousarray(self.low_resolution[low_rows, low_columns])
        part = replace(
            self, delivered=np.ascontiguousarray(self.delivered[rows, columns]), low_resolution=low, second=None
        )
        part._references.update({kind: made[rows, columns] for kind, made in self._references.items()})
        return part, rows, columns

    def reduced(self) -> Image:
        """`delivered` made an input again, without noise and codecs: (H / scale, W / scale, 3) uint8."""
        size = self.delivered.shape[0] // self.scale, self.delivered.shape[1] // self.scale
        return (self.degradation or Mixture.of_text("bicubic").linear_part()).apply(self.delivered, size)


class Accumulator(Protocol):
    """Takes draws, one or several at a time, in any order, in memory that does not grow with their number."""

    def update(self, *draws: Image) -> None:
        """Take draws: each (H, W, 3) uint8."""

    def merge(self, other: Self) -> None:
        """Take over the draws of another accumulator of the same kind."""

    def finish(self, context: Context) -> Map:
        """The score map: (H, W) float32, finite, >= 0, larger = less sure. Independent of draw order to the bit."""


class Score(Plugin):
    """A score with its parameters; a file `scores/NAME.py` defines one subclass and calls it PLUGIN.

    `candidates`: The settings that `tune` compares unless told otherwise, as typed after the colon, the usual one
      first; empty: none. One that takes several draws is also tried with half of them, in its first setting.
    `is_share`: Whether a value is a share of the added detail, in [0, 1], so that a ceiling of guarantees has a
      meaning.
    `takes_bands`: Whether it looks at pictures of declared bands, (H, W, bands) uint16, too.
    `at_scale_one`: What it says of a vendor that returns pictures of the same size, in a few words.
    """

    candidates: ClassVar[tuple[str, ...]] = ("",)
    is_share: ClassVar[bool] = False
    takes_bands: ClassVar[bool] = False
    at_scale_one: ClassVar[str] = "the same as at any scale"

    def start(self, shape: tuple[int, int]) -> Accumulator:
        """An empty accumulator for draws of `shape` = (H, W)."""
        raise NotImplementedError(f"{type(self).__name__} must define start(shape)")

    @property
    def minimum_draws(self) -> int:
        """The fewest draws with which the score means anything (2 for a variance, 1 for a one-draw score)."""
        return 2

    @property
    def needs_input(self) -> bool:
        """Whether it looks at what the vendor was sent, which otherwise need not be made again."""
        return True

    @property
    def needs_second(self) -> bool:
        """Whether it compares with a second vendor's picture."""
        return False

    @property
    def fitted_weights(self) -> bytes | None:
        """A file of weights that its specification names by digest; it gets them again as the parameter ``weights``.

        A calibration carries them. None: it follows from its specification alone.
        """
        return None

    @property
    def taught_by(self) -> tuple[KnownPhotograph, ...]:
        """The photographs that its weights were learned from, which cannot calibrate it, as far as they say so."""
        return ()

    def refused_at(self, scale: int) -> str | None:
        """Why it cannot be used with a vendor of this magnification; None where it can."""
        return None

    def suited(self, degradation: Mixture) -> Self:
        """This score for inputs made in this way, with what follows from that filled in.

        Raises `UsageError`: It was given what does not suit them.
        """
        return self

    def parts(self) -> tuple["Score", ...]:
        """The scores that it is made of, where there are any."""
        return ()

    @property
    def reference_degraded(self) -> bool | None:
        """For which inputs it makes the free reference, for degraded ones or others; None: it makes none."""
        return None

    def facts(self) -> dict[str, str]:
        """Draws and other pictures that it takes, and what it says at scale 1."""
        pictures = {"the input": self.needs_input, "a second vendor's picture": self.needs_second}
        return {
            "draws": f"at least {self.minimum_draws}",
            "looks at": " and ".join(["the draws", *(name for name, needed in pictures.items() if needed)]),
            "at scale 1": self.at_scale_one,
        }


def accumulated_map(plugin: Score, draws: Iterable[Image], context: Context) -> Map:
    """Run `plugin` over `draws`, consumed once: a sequence, whose draws are in memory, all together."""
    # Draws in memory go in all at once, which adds them four at a time; others one by one, as they arrive.
    groups: Iterator[Sequence[Image]] = iter([draws]) if isinstance(draws, Sequence) else ([draw] for draw in draws)
    first = next(groups, ())
    if not first:
        raise ValueError("expected at least one draw; got none")
    accumulator = plugin.start(first[0].shape[:2])
    for group in chain([first], groups):
        accumulator.update(*group)
    return accumulator.finish(context)
