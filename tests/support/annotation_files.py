"""Pictures and files as annotation tools export them, for the annotation tests."""

import base64
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


def labelme(*shapes, **changes):
    """A labelme file."""
    document = {"version": "5.8.1", "flags": {}, "imagePath": "photo.png", "imageData": None}
    document |= {"imageHeight": HEIGHT, "imageWidth": WIDTH, "shapes": list(shapes), **changes}
    return json.dumps(document)


def shape(kind, points, label="wrong", **more):
    """A shape of labelme."""
    return {"label": label, "shape_type": kind, "points": points, "group_id": None, "flags": {}, **more}


def labelme_mask(array):
    """A boolean array as labelme writes it into a shape."""
    return base64.b64encode(png(array.astype(np.uint8))).decode()


def cvat(*elements, name="shots/photo.png", height=HEIGHT, width=WIDTH, rest=""):
    """CVAT for images, with one picture that holds the elements."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task/></meta>'
        f'<image id="0" name="{name}" width="{width}" height="{height}">{"".join(elements)}</image>{rest}</annotations>'
    )


def coco(*annotations, images=None, **changes):
    """A COCO file."""
    document = {
        "images": images or [{"id": 7, "file_name": "photo.png", "height": HEIGHT, "width": WIDTH}],
        "categories": [{"id": 1, "name": "wrong"}, {"id": 2, "name": "odd"}],
        "annotations": [{"id": k, "image_id": 7, "category_id": 1, **one} for k, one in enumerate(annotations)],
    }
    return json.dumps(document | changes)


def label_studio(*regions, **changes):
    """A JSON export of Label Studio with one task."""
    task = {"id": 1, "data": {"image": "/data/upload/1/0a1b2c3d-photo.png"}, "annotations": [{"result": list(regions)}]}
    return json.dumps([task | changes])


def region(kind, value, **changes):
    """A region of Label Studio."""
    value = {f"{kind}labels": ["wrong"], **value}
    sizes = {"original_height": HEIGHT, "original_width": WIDTH, "image_rotation": 0}
    return {"type": f"{kind}labels", "value": value, **sizes, **changes}


def brush(alpha):
    """A brush region in Label Studio's bit stream, in runs of equal values and, for single values, literal ones."""
    values = np.repeat(alpha.reshape(-1), 4).tolist()
    sizes = (3, 4, 8, 16)
    bits = [f"{len(values):032b}", f"{7:05b}", *(f"{size - 1:04b}" for size in sizes)]
    at = 0
    while at < len(values):
        end = at
        while end < len(values) and values[end] == values[at] and end - at < 1 << 16:
            end += 1
        which = next(k for k, size in enumerate(sizes) if end - at <= 1 << size)
        if values[at] % 2:
            bits += ["1", f"{which:02b}", f"{end - at - 1:0{sizes[which]}b}", f"{values[at]:08b}"]
        else:
            end = min(end, at + 8)
            bits += ["0", "00", f"{end - at - 1:03b}", *(f"{value:08b}" for value in values[at:end])]
        at = end
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[k : k + 8], 2) for k in range(0, len(text), 8)]
