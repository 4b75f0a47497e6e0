"""Pictures and files as annotation tools export them, for the annotation tests."""

import io
import json

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 32


def pictures(seed=0, height=HEIGHT, width=WIDTH):
    """A true and a delivered picture, (H, W, 3) uint8."""
    return tuple(np.random.default_rng(seed).integers(0, 256, (2, height, width, 3), dtype=np.uint8))


def png(array, **options):
    """An array as the bytes of a PNG."""
    out = io.BytesIO()
    Image.fromarray(array).save(out, "PNG", **options)
    return out.getvalue()


def marked(*boxes, height=HEIGHT, width=WIDTH):
    """Levels that are 255 in the boxes (left, top, right, bottom)."""
    levels = np.zeros((height, width), np.uint8)
    for left, top, right, bottom in boxes:
        levels[top:bottom, left:right] = 255
    return levels


def coco(*annotations, images=None, **changes):
    """A COCO file."""
    document = {
        "images": images or [{"id": 7, "file_name": "photo.png", "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": 1, "name": "wrong"}, {"id": 2, "name": "odd"}],
        "annotations": [{"id": k, "image_id": 7, "category_id": 1, **one} for k, one in enumerate(annotations)],
    }
    return json.dumps(document | changes)
