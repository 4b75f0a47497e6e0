"""The same annotation in every form that is imported."""

import numpy as np
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

from blackbox_conformal.annotations import coco as coco_importer
from blackbox_conformal.annotations import cvat_xml, png_masks
from blackbox_conformal.annotations import label_studio as studio_importer
from blackbox_conformal.annotations import labelme as labelme_importer
from blackbox_conformal.annotations.foreign_files import Request

BOX = (3, 5, 10, 12)
BLOCK = np.ones((7, 7), bool)


def read_form(importer, tmp_path, content, *, names=("photo",), size=(HEIGHT, WIDTH), level=lambda _: 255, name="x"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return importer.read(Request(path, frozenset(names), size, level))


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
    "labelme polygon": (labelme_importer, labelme(shape("polygon", [[3, 5], [10, 5], [10, 12], [3, 12]]))),
    "labelme rectangle": (labelme_importer, labelme(shape("rectangle", [[10, 5], [3, 12]]))),
    "labelme rectangle of four": (labelme_importer, labelme(shape("rectangle", [[3, 5], [10, 5], [10, 12], [3, 12]]))),
    "labelme mask": (labelme_importer, labelme(shape("mask", [[3, 5], [9, 11]], mask=labelme_mask(BLOCK)))),
    "labelme mask, box to the far edge": (
        labelme_importer,
        labelme(shape("mask", [[3, 5], [10, 12]], mask=labelme_mask(BLOCK))),
    ),
    "cvat polygon": (cvat_xml, cvat('<polygon label="wrong" points="3.0,5.0;10,5;10,12;3,12" z_order="0"/>')),
    "cvat box": (cvat_xml, cvat('<box label="wrong" xtl="3" ytl="5" xbr="10" ybr="12"></box>')),
    "cvat mask": (cvat_xml, cvat('<mask label="wrong" rle="0, 49" left="3" top="5" width="7" height="7"/>')),
    "coco polygon": (coco_importer, coco({"segmentation": [[3, 5, 10, 5, 10, 12, 3, 12]]})),
    "coco box": (coco_importer, coco({"segmentation": [], "bbox": [3, 5, 7, 7]})),
    "coco runs": (
        coco_importer,
        coco({"segmentation": {"size": [HEIGHT, WIDTH], "counts": run_lengths((marked(BOX) > 0).T.reshape(-1))}}),
    ),
    "label studio brush": (
        studio_importer,
        label_studio(region("brush", {"format": "rle", "rle": brush(marked(BOX))})),
    ),
    "label studio polygon": (
        studio_importer,
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
        studio_importer,
        label_studio(
            region(
                "rectangle",
                {"x": 3.01 / 0.32, "y": 5.01 / 0.24, "width": 6.98 / 0.32, "height": 6.98 / 0.24, "rotation": 0},
            )
        ),
    ),
    "png": (png_masks, png(marked(BOX))),
    "png of one bit": (png_masks, png(marked(BOX) > 0)),
}
