"""A person's annotations of where a delivered picture differs in meaning from the truth.

One canonical form is stored (`stored`) and one importer a file reads each tool's own form. The metric that uses them is
`metrics.semantic`.
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
