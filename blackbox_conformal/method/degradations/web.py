"""A picture from a web page."""

from blackbox_conformal.method.degradations.degradation import Preset

_AFTER = "unsharp:30-80,radius=0.5-1,threshold=0,chance=0.5+jpeg:70-92"


class Web(Preset):
    """A picture from a web page: made smaller by a program, perhaps sharpened, and saved as JPEG.

    The filters and the middle of the qualities are what programs do unasked: Pillow saves with quality 75 and the image
    library sharp with 80, after a Lanczos filter; WordPress saves with 82; ImageMagick with 92. How common each is on
    the web was not measured.
    """

    chain = f"34% bicubic+{_AFTER} | 33% area+{_AFTER} | 33% lanczos+{_AFTER}"


PLUGIN = Web
