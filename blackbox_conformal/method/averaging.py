"""Parameters of an averaging window, shared by scores and metrics: a Gaussian with sigma, or a box with size."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from blackbox_conformal.method.kernels.windows import MAX_SIGMA, MAX_SIZE

DEFAULT_SIGMA = 4.0
DEFAULT_SIZE = 31


def _odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError("expected an odd number of pixels, so that the window has a centre")
    return size


Window = Literal["gaussian", "box"]
Sigma = Annotated[float, Field(gt=0, le=MAX_SIGMA)]  # Standard deviation in pixels.
Size = Annotated[int, Field(ge=1, le=MAX_SIZE), AfterValidator(_odd)]  # Side in pixels, odd.


def complete(parameters: Any) -> Any:
    """Return `parameters` with the window named and its measure filled in, so that equal settings have one form.

    A measure alone names its window (`sigma` a Gaussian, `size` a box); a Gaussian defaults to sigma 4, a box to 31
    pixels.
    """
    if not isinstance(parameters, dict):
        return parameters
    # A parameter that is None is one that was not given: both must give one fingerprint.
    completed = {key: value for key, value in parameters.items() if value is not None}
    window = completed.setdefault("kernel", "box" if "size" in completed and "sigma" not in completed else "gaussian")
    if window == "gaussian":
        if "size" in completed:
            raise ValueError("expected sigma with a gaussian kernel; got size. Give sigma, or kernel=box")
        completed.setdefault("sigma", DEFAULT_SIGMA)
    elif window == "box":
        if "sigma" in completed:
            raise ValueError("expected size with a box kernel; got sigma. Give size, or kernel=gaussian")
        completed.setdefault("size", DEFAULT_SIZE)
    return completed
