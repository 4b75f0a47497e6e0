"""Texture: how much the delivered picture changes from pixel to pixel.

Flat regions are easy and fine texture is where vendors invent; needs neither a second draw nor the input.
"""

import numpy as np

from blackbox_conformal.method.scores._bases import OneDrawScore
from blackbox_conformal.method.scores.score import Context
from blackbox_conformal.support.types import Map


class Texture(OneDrawScore):
    """`K * |grad Ŷ|²`, central differences with reflected borders, summed over channels, white = 1: in [0, 3/2]."""

    @property
    def needs_input(self) -> bool:
        """No: the delivered picture is enough."""
        return False

    def raw(self, context: Context) -> Map:
        """Squared gradient at each pixel."""
        # "symmetric" repeats the border pixel: the reflection that all averages here use.
        padded = np.pad(context.delivered, ((1, 1), (1, 1), (0, 0)), mode="symmetric").astype(np.int32)
        down = padded[2:, 1:-1] - padded[:-2, 1:-1]
        right = padded[1:-1, 2:] - padded[1:-1, :-2]
        energy = (down * down + right * right).sum(axis=2, dtype=np.int32)
        # Central differences are over two pixels, so their squares are four times too large.
        scaled: Map = energy.astype(np.float32) / np.float32(4 * 255 * 255)
        return scaled


PLUGIN = Texture
