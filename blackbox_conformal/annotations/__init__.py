"""A person's annotations of where a delivered picture differs in meaning from the truth.

One form is stored (`annotation_file`), and the metric `semantic` reads it. Importers of each tool's own form are found
by name (`formats`); those of COCO, CVAT, labelme and Label Studio are in the package `blackbox_annotations`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blackbox_conformal.annotations.convert import import_annotations as import_annotations

__all__ = ["import_annotations"]


def __getattr__(name: str) -> Any:
    if name != "import_annotations":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from blackbox_conformal.annotations.convert import import_annotations

    return import_annotations
