"""Annotations as plain PNG masks: one file, or a folder of files that are called like the pictures.

Levels are grades: 0 the same meaning, 255 another.
"""

from blackbox_conformal.annotations.annotation_file import Levels, grey_png
from blackbox_conformal.annotations.foreign_files import Request, read_bytes
from blackbox_conformal.errors import FileFormatError
from blackbox_conformal.images.names import printable


def read(request: Request) -> Levels:
    """The levels of the picture that `request` asks for: (H, W) uint8.

    Raises
    ------
    FileFormatError
        The file is no 8-bit grey PNG of the right size, or holds class numbers instead of grades.
    UsageError
        The folder does not hold exactly one file of that name.
    """
    path = request.file(".png")
    levels = grey_png(read_bytes(path), request.size, printable(path))
    if levels.max() == 1:
        raise FileFormatError(
            f"{printable(path)}: expected grades from 0 to 255; the largest level is 1, so these are class numbers and "
            "would count as almost no difference. Save marked pixels as 255"
        )
    return levels
