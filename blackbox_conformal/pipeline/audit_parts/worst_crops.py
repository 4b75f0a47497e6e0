"""The worst places of the worst audited photographs, cut out at full resolution while their pixels are at hand.

Which pixel is the worst is decided in `audits.worst_pixels`.
"""

import heapq
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blackbox_conformal.audits.worst_pixels import Place, window
from blackbox_conformal.files import write_together
from blackbox_conformal.images.encode import image_png, mask_png
from blackbox_conformal.images.names import file_stem
from blackbox_conformal.types import Image, Mask

SIDE = 128
"""Sides of a crop in pixels."""


@dataclass(frozen=True, slots=True)
class Crop:
    """The surroundings of one worst pixel.

    Attributes
    ----------
    name, truth
        The photograph, and the digest of its pixels.
    row, column
        Top left corner of the crop in the picture.
    delivered, photograph
        (h, w, 3) uint8.
    mask
        (h, w) bool, True = trusted.
    """

    name: str
    truth: str
    row: int
    column: int
    delivered: Image
    photograph: Image
    mask: Mask


class WorstCrops:
    """Keeps the crops of the `most` photographs with the largest losses at each level; safe to use from threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[float, list[tuple[float, float, str, int, Crop]]] = {}
        self._count = 0
        self._lock = threading.Lock()

    def offer(
        self, alpha: float, loss: float, name: str, truth: str, place: Place, pixels: tuple[Image, Image], mask: Mask
    ) -> None:
        """Keep the surroundings of `place` if its loss is among the largest at `alpha`.

        Parameters
        ----------
        pixels
            Delivered picture and photograph, (H, W, 3) uint8 each.
        """
        with self._lock:
            kept = self._kept.setdefault(alpha, [])
            if self._most < 1 or (len(kept) >= self._most and (loss, place.error) <= kept[0][:2]):
                return
            rows, columns = window(place, (mask.shape[0], mask.shape[1]), SIDE)
            delivered, photograph = (np.ascontiguousarray(one[rows, columns]) for one in pixels)
            crop = Crop(name, truth, rows.start, columns.start, delivered, photograph, mask[rows, columns].copy())
            self._count += 1
            entry = (loss, place.error, truth, self._count, crop)
            if len(kept) < self._most:
                heapq.heappush(kept, entry)
            else:
                heapq.heapreplace(kept, entry)

    def of(self, alpha: float) -> list[Crop]:
        """The crops at `alpha`, worst first."""
        return [entry[-1] for entry in sorted(self._kept.get(alpha, []), key=lambda one: (-one[0], -one[1], one[2]))]

    def write(self, folder: Path, *, force: bool = False) -> dict[tuple[float, str], dict[str, Path]]:
        """Write every crop as ``alpha-<level>-<rank>-<name>-delivered.png``, ``-truth.png``, ``-mask.png``.

        Returns
        -------
        The files by level and digest of the photograph.

        Raises
        ------
        UsageError
            A file exists with other content and `force` is not set; then nothing is written.
        """
        contents: dict[Path, bytes] = {}
        found: dict[tuple[float, str], dict[str, Path]] = {}
        for alpha in sorted(self._kept):
            for rank, crop in enumerate(self.of(alpha), 1):
                start = f"alpha-{alpha:g}-{rank:02d}-{file_stem(crop.name)}"
                paths = {kind: folder / f"{start}-{kind}.png" for kind in ("delivered", "truth", "mask")}
                contents[paths["delivered"]] = image_png(crop.delivered)
                contents[paths["truth"]] = image_png(crop.photograph)
                contents[paths["mask"]] = mask_png(crop.mask)
                found[alpha, crop.truth] = paths
        write_together(contents, force=force)
        return found
