"""The same annotation in every form that is imported."""

import numpy as np

from blackbox_conformal.annotations.formats.coco import Coco
from blackbox_conformal.annotations.formats.cvat import Cvat
from blackbox_conformal.annotations.formats.format import ImportRequest
from blackbox_conformal.annotations.formats.label_studio import LabelStudio
from blackbox_conformal.annotations.formats.labelme import Labelme
from blackbox_conformal.annotations.formats.png import Png
from support.annotation_files import (
    HEIGHT,
    WIDTH,
    brush,
    coco,
    cvat,
    label_studio,
    labelme,
    labelme_mask,
    marked,
    png,
    region,
    shape,
)

BOX = (3, 5, 10, 12)
BLOCK = np.ones((7, 7), bool)


def read_form(importer, tmp_path, content, *, names=("photo",), size=(HEIGHT, WIDTH), level=lambda _: 255, name="x"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return importer.read(ImportRequest(path, frozenset(names), size, level))


def run_lengths(flat):
    """Lengths of runs, the first not marked."""
    lengths, last = [0], 0
    for value in flat.astype(int).tolist():
        if value != last:
            lengths.append(0)
            last = value
        lengths[-1] += 1
    return lengths


SAME = {
    "labelme polygon": (Labelme(), labelme(shape("polygon", [[3, 5], [10, 5], [10, 12], [3, 12]]))),
    "labelme rectangle": (Labelme(), labelme(shape("rectangle", [[10, 5], [3, 12]]))),
    "labelme rectangle of four": (Labelme(), labelme(shape("rectangle", [[3, 5], [10, 5], [10, 12], [3, 12]]))),
    "labelme mask": (Labelme(), labelme(shape("mask", [[3, 5], [9, 11]], mask=labelme_mask(BLOCK)))),
    "labelme mask, box to the far edge": (
        Labelme(),
        labelme(shape("mask", [[3, 5], [10, 12]], mask=labelme_mask(BLOCK))),
    ),
    "cvat polygon": (Cvat(), cvat('<polygon label="wrong" points="3.0,5.0;10,5;10,12;3,12" z_order="0"/>')),
    "cvat box": (Cvat(), cvat('<box label="wrong" xtl="3" ytl="5" xbr="10" ybr="12"></box>')),
    "cvat mask": (Cvat(), cvat('<mask label="wrong" rle="0, 49" left="3" top="5" width="7" height="7"/>')),
    "coco polygon": (Coco(), coco({"segmentation": [[3, 5, 10, 5, 10, 12, 3, 12]]})),
    "coco box": (Coco(), coco({"segmentation": [], "bbox": [3, 5, 7, 7]})),
    "coco runs": (
        Coco(),
        coco({"segmentation": {"size": [HEIGHT, WIDTH], "counts": run_lengths((marked(BOX) > 0).T.reshape(-1))}}),
    ),
    "label studio brush": (
        LabelStudio(),
        label_studio(region("brush", {"format": "rle", "rle": brush(marked(BOX))})),
    ),
    "label studio polygon": (
        LabelStudio(),
        label_studio(
            region(
                "polygon",
                {
                    "points": [
                        [x / 0.32, y / 0.24] for x, y in ((3.01, 5.01), (9.99, 5.01), (9.99, 11.99), (3.01, 11.99))
                    ]
                },
            )
        ),
    ),
    "label studio rectangle": (
        LabelStudio(),
        label_studio(
            region(
                "rectangle",
                {"x": 3.01 / 0.32, "y": 5.01 / 0.24, "width": 6.98 / 0.32, "height": 6.98 / 0.24, "rotation": 0},
            )
        ),
    ),
    "png": (Png(), png(marked(BOX))),
    "png of one bit": (Png(), png(marked(BOX) > 0)),
}
