"""What is compared of one vendor: a call of its own client, the same draw of the adapter, and how both read answers."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from clients.exchange import Script
from PIL import Image

from blackbox_conformal.vendor.adapter import Upload

Call = Callable[[str, Upload, int | None], bytes]
"""The client's own way to enlarge a picture: address of the vendor, upload and seed → the picture's bytes."""


@dataclass(frozen=True)
class Reading:
    """Answers that end a draw without a picture, and what the client and the adapter make of them.

    Attributes
    ----------
    said
        What the vendor says, in words.
    script
        The answers that differ from those of the case.
    theirs, ours
        Names of the errors that the client and the adapter raise.
    """

    said: str
    script: Script
    theirs: str
    ours: str


@dataclass(frozen=True)
class Case:
    """One way to use one adapter, and its client.

    Attributes
    ----------
    adapter, client
        Name of the adapter; name of the distribution of its vendor's client.
    what
        Which route or form is compared.
    call
        The client's call.
    parameters
        Of the adapter; `{address}` stands for the vendor's address.
    script
        What the vendor answers.
    deliberate
        ``METHOD /path field`` of each difference, and the reason for it; ``METHOD /path``: only one side asks that.
    alias
        Requests of the client that are one of the adapter under another path; that is a difference, ``place``.
    job
        A job that both ask for, instead of a new one.
    environment
        Variables that the adapter reads besides those of its example.
    secure
        Whether the client insists on https.
    large
        Whether the picture is larger than what is sent inside a request.
    """

    adapter: str
    client: str
    what: str
    call: Call
    parameters: Mapping[str, Any]
    script: Script
    deliberate: Mapping[str, str] = field(default_factory=dict)
    alias: Mapping[str, str] = field(default_factory=dict)
    readings: tuple[Reading, ...] = ()
    large: bool = False
    secure: bool = False
    job: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.adapter}: {self.what}"


class NoPictureError(Exception):
    """The client has no error for what the vendor says: its user finds no picture, or the reason in its place."""


def png(side: int, noise: bool = False) -> bytes:
    """A picture; noise does not compress."""
    pixels = np.random.default_rng(0).integers(0, 256, (side, side), dtype=np.uint8)
    image = Image.fromarray(pixels) if noise else Image.linear_gradient("L").resize((side, side))
    out = io.BytesIO()
    image.convert("RGB").save(out, "PNG")
    return out.getvalue()


RESULT = png(96)
