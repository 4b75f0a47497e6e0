"""Annotations as plain PNG masks: one file, or a folder of files that are called like the pictures."""

from collections.abc import Mapping, Sequence

from blackbox_conformal.annotations.annotation_file import Levels, levels_of_png, read_bytes
from blackbox_conformal.annotations.formats.format import Format, ImportRequest, Marked
from blackbox_conformal.errors import FileFormatError, UsageError
from blackbox_conformal.method.images.encode import grey_png
from blackbox_conformal.support.text import printable


class Png(Format):
    """8-bit grey PNGs whose levels are the grades: 0 the same meaning, 255 another."""

    def read(self, request: ImportRequest) -> Levels:
        """As `Format.read`; class numbers instead of grades, or another kind of PNG, are refused."""
        path = request.file(".png")
        levels = levels_of_png(read_bytes(path), request.size, printable(path))
        if levels.max() == 1:
            raise FileFormatError(
                f"{printable(path)}: expected grades from 0 to 255; the largest level is 1, so these are class numbers "
                "and would count as almost no difference. Save marked pixels as 255"
            )
        return levels

    def write(self, pictures: Sequence[Marked]) -> Mapping[str, bytes]:
        """As `Format.write`: one PNG a picture."""
        for picture in pictures:
            if picture.levels.max(initial=0) == 1:
                raise UsageError(
                    f"expected a level above 1 somewhere in {printable(picture.name)}, since a PNG of 0 and 1 is read "
                    "as class numbers and refused; its largest grade is 1/255. Export another format"
                )
        return {f"{picture.stem}.png": grey_png(picture.levels) for picture in pictures}


PLUGIN = Png
