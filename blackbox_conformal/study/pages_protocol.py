"""Declare the pages for people that commands and use cases find by entry point."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.documents.certificate import Certificate
from blackbox_conformal.method.audits.findings import Audit
from blackbox_conformal.method.audits.random_splits import Splits
from blackbox_conformal.study.choose.comparison import ComparedPicture, Comparison
from blackbox_conformal.study.mask.products import Result
from blackbox_conformal.support import catalog
from blackbox_conformal.support.blocks import Block
from blackbox_conformal.support.types import Image


class ReportMaterial(Protocol):
    """A keeper, in a run folder, of what reports and the viewer show."""

    folder: Path

    def masked(self, result: Result, low: Image | None = None, file: Path | None = None) -> Path:
        """Keep a masked picture; `low`: what the vendor was sent, `file`: a PNG of the delivered picture."""

    def add_doubt(self, kept: Path, certificate: Certificate) -> None:
        """Add to the picture in `kept` the doubt that its certificate states since a whole batch was masked."""

    @property
    def audited(self) -> Callable[..., None]:
        """Return the function that `audit` calls as `on_picture` to keep a photograph."""

    def keep_audit(self, audit: Audit) -> Path:
        """Keep an audit's findings."""

    def keep_splits(self, splits: Splits) -> Path:
        """Keep the findings of random splits."""


class ComparedPictures(Protocol):
    """A collection of the photographs in which contestants differ most."""

    def take(self, picture: ComparedPicture) -> None:
        """Look at one photograph of one contestant."""


class Pages(Protocol):
    """The pages of this package."""

    def report_material(
        self, run: Path, calibration: Calibration, alphas: Sequence[float] = (), *, full_size: bool = True
    ) -> ReportMaterial:
        """Return the keeper of `run`; `alphas`: levels with exact shares, beside the usual ones."""

    def compared_pictures(self) -> ComparedPictures:
        """Return an empty collection."""

    def write_comparison(self, comparison: Comparison, path: Path, pictures: Any, *, force: bool = False) -> Path:
        """Write the page of a comparison."""

    def refuse_foreign_comparison(self, path: Path, contestants: Sequence[str]) -> None:
        """Refuse to overwrite a file at `path` that is not these contestants' page."""

    def write_report(self, *arguments: Any, **settings: Any) -> Path:
        """Write the report of a run folder."""

    def write_blocks(self, title: str, blocks: Iterable[Block], path: Path, about: str, *, force: bool = False) -> Path:
        """Write a page of blocks."""

    def calibration_of(self, content: bytes) -> str | None:
        """Return the digest of a page's calibration; None where it names none."""

    def opening_level(self, calibration: Calibration) -> float:
        """Return the level at which a report opens."""

    def write_watch_page(self, *arguments: Any, **settings: Any) -> Path:
        """Write a watch's findings so far as one HTML file; return its path."""

    def refuse_foreign_watch(self, path: Path, calibration: Calibration) -> None:
        """Refuse to overwrite a file at `path` that is not this watch's page."""

    @property
    def viewer_beside_gateway(self) -> Any:
        """Return the viewer as a part of a gateway."""


def pages() -> Pages:
    """Return the installed pages."""
    found: Pages = catalog.hook("pages")
    return found
