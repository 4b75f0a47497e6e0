"""Refusals that the readers of several formats share."""

from blackbox_conformal.errors import ImageError


def too_deep(bits: object) -> ImageError:
    """The refusal of more than 8 bits a channel."""
    return ImageError(
        f"expected 8 bits a channel; got {bits}. Cutting them silently would change every loss: convert the picture to "
        "8-bit PNG yourself (for example `magick in.png -depth 8 out.png`) and use that file throughout"
    )


def truncated(kind: str, missing: str) -> ImageError:
    """The refusal of a file that ends early, or whose middle is missing."""
    return ImageError(f"expected a whole {kind} file; {missing}. The file is truncated or damaged: get it again")
