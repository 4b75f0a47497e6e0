"""People's annotations of where a delivered picture differs in meaning from the truth.

One form is stored (`annotation_file`), and the metric `semantic` reads it. The files of annotation tools are imported
and exported by a format's name (`formats`). Several people's marks (`marks`) are combined into one annotation
(`combine`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blackbox_conformal.annotations.convert import export_annotations as export_annotations
    from blackbox_conformal.annotations.convert import import_annotations as import_annotations

__all__ = ["export_annotations", "import_annotations"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from blackbox_conformal.annotations import convert

    return getattr(convert, name)
