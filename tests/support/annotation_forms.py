"""The same annotation in every form that is imported."""

from blackbox_conformal.annotations.formats.coco import Coco
from blackbox_conformal.annotations.formats.format import ImportRequest
from blackbox_conformal.annotations.formats.png import Png
from support.annotation_files import HEIGHT, WIDTH, coco, marked, png

BOX = (3, 5, 10, 12)


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


RUNS = {"size": [HEIGHT, WIDTH], "counts": run_lengths((marked(BOX) > 0).T.reshape(-1))}
SAME = {
    "coco polygon": (Coco(), coco({"segmentation": [[3, 5, 10, 5, 10, 12, 3, 12]]})),
    "coco box": (Coco(), coco({"segmentation": [], "bbox": [3, 5, 7, 7]})),
    "coco runs": (Coco(), coco({"segmentation": RUNS})),
    "png": (Png(), png(marked(BOX))),
    "png of one bit": (Png(), png(marked(BOX) > 0)),
}
