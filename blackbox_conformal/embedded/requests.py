"""Valid requests to the embedded vendor, and the refusals for all others."""

import hashlib
import io
import secrets
from dataclasses import dataclass
from urllib.parse import parse_qsl

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

# The embedded vendor's noise: a stream of standard normal values for one seed.

Features = npt.NDArray[np.float32]

SEEDS = 2**32


class NoiseRows:
    """Standard normal noise of one draw: values for the whole picture, then rows handed out from top to bottom.

    So strips of a picture see the same noise as the whole.

    `seed`: Names the stream (Philox, Salmon et al. 2011).
    `first`, `width`: Index of the first row and number of pixels in a row.
    `channels`, `shared`: Values for each pixel and for the whole picture.
    `shared`: (shared,) float32.
    """

    def __init__(self, seed: int, first: int, width: int, channels: int, shared: int) -> None:
        self._random = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
        self.shared: Features = self._random.standard_normal(shared, dtype=np.float32)
        self._start = first
        self._rows: Features = np.empty((0, width, channels), np.float32)

    def between(self, first: int, last: int) -> Features:
        """Return rows ``first`` to ``last`` (exclusive), (rows, width, channels); ``first`` must never go back."""
        kept = self._rows[first - self._start :]
        fresh = self._random.standard_normal((last - first - len(kept), *kept.shape[1:]), dtype=np.float32)
        self._rows = np.concatenate((kept, fresh)) if len(kept) else fresh
        self._start = first
        return self._rows


MAX_PIXELS = 4_000_000
MAX_BODY = 32 * 2**20
MODES = ("RGB", "L", "P", "RGBA", "LA", "1")


class RefusalError(Exception):
    """A request that is answered with an error.

    `status`: HTTP status, 400 to 499.
    `code`: Word for programs.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class StudioOrder:
    """A checked request: task, picture (H, W, 3) uint8, seed, and a digest of the client's bytes."""

    task: str
    picture: npt.NDArray[np.uint8]
    seed: int
    digest: str


def parse_order(task: str, scale: int, query: str, headers: dict[str, str], body: bytes) -> StudioOrder:
    """Check a request for a picture.

    `task`, `scale`: The requested task, and the only magnification that it has.
    `query`: The target after ``?``: ``scale`` and ``seed``, both optional.
    `headers`: By lower-case name; ``x-scale`` and ``x-seed`` replace absent query parameters.
    `body`: A PNG or JPEG file.
    """
    parameters = {name[2:]: headers[name] for name in ("x-scale", "x-seed") if name in headers}
    named: set[str] = set()
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in ("scale", "seed") or name in named:
            raise RefusalError(422, "bad_parameter", f"Expected scale and seed, once each, got {name[:40]!r}.")
        named.add(name)
        parameters[name] = value
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if not kind.startswith("image/"):
        raise RefusalError(
            415, "unsupported_media_type", f"Expected Content-Type image/png or image/jpeg, got {kind or 'none'}."
        )
    if parameters.get("scale", str(scale)) != str(scale):
        raise RefusalError(422, "unsupported_scale", f"Expected scale={scale}, got {parameters['scale'][:20]!r}.")
    seed = parameters.get("seed")
    if seed is None:
        number = secrets.randbelow(SEEDS)
    elif not (seed.isascii() and seed.isdigit() and len(seed) <= 10 and int(seed) < SEEDS):
        raise RefusalError(422, "bad_seed", f"Expected a seed from 0 to {SEEDS - 1}, got {seed[:20]!r}.")
    else:
        number = int(seed)
    digest = hashlib.sha256(body + b"\0" + repr((task, seed)).encode()).hexdigest()
    return StudioOrder(task, _decode(body), number, digest)


def _decode(body: bytes) -> npt.NDArray[np.uint8]:
    try:
        with Image.open(io.BytesIO(body), formats=("PNG", "JPEG")) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise RefusalError(
                    413,
                    "picture_too_large",
                    f"Expected at most {MAX_PIXELS} pixels, got {picture.width} x {picture.height}.",
                )
            if picture.mode not in MODES:
                raise RefusalError(422, "unsupported_picture", f"Expected an 8-bit picture, got mode {picture.mode}.")
            if picture.has_transparency_data:
                white = Image.new("RGBA", picture.size, "white")
                white.alpha_composite(picture.convert("RGBA"))
                return np.array(white.convert("RGB"))
            return np.array(picture.convert("RGB"))
    except Image.DecompressionBombError as error:
        raise RefusalError(413, "picture_too_large", f"Expected at most {MAX_PIXELS} pixels.") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise RefusalError(400, "undecodable_picture", "Expected a whole PNG or JPEG file as the body.") from error
