"""A picture to use: delivered pixels where they are trusted, elsewhere another picture's."""

import numpy as np

from blackbox_conformal.errors import MapError, UsageError
from blackbox_conformal.method.degradations.chain import Chain, Mixture
from blackbox_conformal.method.images.making_inputs import resized
from blackbox_conformal.method.images.overlay import grown
from blackbox_conformal.method.images.picture import check_any_pixels
from blackbox_conformal.method.images.reference import reference
from blackbox_conformal.method.kernels.enlarge import add_enlarged
from blackbox_conformal.support.types import Image, Mask


def back_projected(pixels: Image, low_resolution: Image, chain: Chain, steps: int) -> Image:
    """Return `pixels` after ``Y <- clip(round(Y + U(X - D(Y))))``, `steps` times (Irani and Peleg 1991).

    X is `low_resolution`, (H / scale, W / scale, 3) uint8; `pixels` and result are (H, W, 3) uint8, the same array
    where nothing changes. D is `chain` of linear steps, by the very code that makes inputs, so a picture whose input is
    X stays as it is. U is bicubic enlargement of the difference; at scale 1 it is nothing.
    """
    for step in range(steps):
        reduced = chain.apply(pixels, low_resolution.shape[:2])
        if np.array_equal(reduced, low_resolution):
            break
        if step == 0:
            pixels = pixels.copy()
        add_enlarged(pixels, np.subtract(low_resolution, reduced, dtype=np.int16))
    return pixels


_STEPS = 2  # Of back-projection, as of ``--delivery consistent``.


def may_be_shown(mixture: Mixture, scale: int, delivery: str, *, deep: bool = False) -> tuple[str, ...]:
    """Name the pictures of `SHOWN` that may be shown where nothing is trusted.

    `deep` pictures have declared bands, of which nothing else can be made here. `mixture` and `scale` say how inputs
    are made: only known linear steps can be made again, as a consistent picture needs. `delivery` names what is
    delivered already.
    """
    if deep:
        return "delivered", "enlargement"
    consistent = ("consistent",) * (mixture.linear and not delivery.startswith("consistent"))
    return ("delivered", *consistent, *("reference",) * (scale > 1), "enlargement")


def picture_to_show(name: str, delivered: Image, low_resolution: Image, mixture: Mixture) -> Image:
    """Return a picture of `SHOWN`, (H, W, 3) uint8, from the delivered one and its input, (h, w, 3) uint8.

    Enlargement is by Pillow's bicubic filter (Keys 1981, a = -1/2); an input of the delivered size is taken as it is.
    """
    height, width = delivered.shape[:2]
    match name:
        case "delivered":
            return delivered
        case "consistent":
            return back_projected(delivered, low_resolution, mixture.linear_part(), _STEPS)
        case "reference":
            return reference(low_resolution, width // low_resolution.shape[1], degraded=not mixture.linear)
    return resized(check_any_pixels(low_resolution), width, height)


def safe_picture(inside: Image, mask: Mask, outside: Image, feather: int = 0) -> Image:
    """Return `inside` inside the mask and `outside` elsewhere: (H, W, 3) uint8.

    `mask`: (H, W) bool, True = trusted. These pixels are exactly those of `inside`, whatever `feather` is.
    `feather`: Over how many pixels outside the mask the picture inside fades into the other; 0: a hard edge.
    """
    inside = check_any_pixels(inside)
    if mask.shape != inside.shape[:2] or mask.dtype != np.bool_:
        raise MapError(f"expected a bool mask of {inside.shape[:2]}; got {mask.dtype} {mask.shape}")
    if outside.shape != inside.shape:
        raise MapError(f"expected a picture of {inside.shape[:2]} to show outside; got {outside.shape[:2]}")
    if feather < 0:
        raise UsageError(f"expected a feather of 0 pixels or more; got {feather}")
    safe = check_any_pixels(outside).copy()
    safe[mask] = inside[mask]
    near = mask
    for step in range(1, feather + 1):
        wider = grown(near, 1)
        ring = wider & ~near
        share = 1 - step / (feather + 1)
        safe[ring] = np.rint(share * inside[ring] + (1 - share) * safe[ring]).astype(safe.dtype)
        near = wider
    return safe


def safe_statement(outside: str, inside: str = "", *, feather: int, guaranteed: bool = True) -> str:
    """Say what is promised of a `safe_picture`; `outside` names what is outside the mask.

    `inside` names what is inside, where that is not the delivered picture.

    Where the guarantee does not speak of the mask, the safe picture has nothing of the delivered one.
    """
    if not guaranteed:
        return f"the guarantee does not speak of this picture, so all of it is {outside}, of which nothing is promised"
    fading = f", into which what is inside fades over {feather} pixels" * bool(feather)
    if inside:
        return (
            f"inside the mask it is {inside}, and outside it is {outside}{fading}; nothing is promised of this "
            "picture, since the guarantee speaks of the delivered one"
        )
    return (
        "inside the mask it is the delivered picture, of which the guarantee speaks; "
        f"outside it is {outside}{fading}; of what is outside nothing is promised"
    )
