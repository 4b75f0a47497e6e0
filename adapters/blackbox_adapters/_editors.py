"""Editors: models that are told in words what to do with a picture, and that promise nothing of its size."""

from decimal import Decimal
from typing import Any

from pydantic import Field

from blackbox_adapters._hosted import Hosted
from blackbox_adapters._reading import integer, peek

RESTORE = (
    "Restore this photograph: reproduce exactly the same picture at higher quality and resolution. Recover sharp, "
    "natural detail; remove blur, noise and compression artifacts. Keep the framing, every object, every face, every "
    "letter, the colours and the light as they are. Add nothing, remove nothing, move nothing, crop nothing."
)

REPAINTS = (
    "an editor paints the whole picture anew: what it shows may have moved or changed, though it looks flawless; the "
    "check that a result shows its input refuses only what is plainly something else"
)

MILLION = Decimal(1_000_000)


class Editor(Hosted):
    """A vendor whose model edits a picture as `prompt` says; results are resampled to `scale` times the input."""

    prompt: str = Field(
        default=RESTORE,
        min_length=1,
        max_length=8000,
        description="What the editor is told, with every picture; part of the procedure, so another is another vendor.",
    )
    scale: int = Field(
        default=2,
        ge=1,
        le=8,
        description="Magnification to which results are resampled, whatever size the editor gives them.",
    )


def tokens(answer: Any, path: str) -> int:
    """Number of tokens at `path`; 0 where the answer does not say."""
    return integer(peek(answer, path)) or 0
