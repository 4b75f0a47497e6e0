"""When a photograph was shot, as its file says: read to compare photographs with each other, and never kept."""

from datetime import datetime
from pathlib import Path

from PIL import Image as PillowImage
from PIL import JpegImagePlugin

_EXIF_FOLDER, _SHOT = 0x8769, 0x9003
"""Tags of EXIF: where the camera's entries are, and DateTimeOriginal, which programs that edit leave as it is."""


def time_shot(path: Path) -> datetime | None:
    """To the second; None where the file is no JPEG or does not say."""
    try:
        with JpegImagePlugin.JpegImageFile(path) as opened:
            block = opened.info.get("exif", b"")
        exif = PillowImage.Exif()
        exif.load(block)
        return datetime.strptime(str(exif.get_ifd(_EXIF_FOLDER).get(_SHOT)), "%Y:%m:%d %H:%M:%S")
    except Exception:  # noqa: BLE001 - a damaged block, which may raise anything, says no time
        return None
