"""What commands and use cases ask of pages for people, which are found by their entry point."""

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
    """What a run folder keeps for reports and the viewer."""

    folder: Path

    def masked(self, result: Result, low: Image | None = None, file: Path | None = None) -> Path:
        """Keep a masked picture; `low` is what the vendor was sent, `file` a PNG of the delivered picture."""

    def add_doubt(self, kept: Path, certificate: Certificate) -> None:
        """Say of the picture in `kept` what its certificate says since a whole batch put it in doubt."""

    @property
    def audited(self) -> Callable[..., None]:
        """Keeps an audited photograph: what `audit` calls as `on_picture`."""

    def keep_audit(self, audit: Audit) -> Path:
        """Keep what an audit found."""

    def keep_splits(self, splits: Splits) -> Path:
        """Keep what random splits of a pool found."""


class ComparedPictures(Protocol):
    """The photographs of a comparison in which contestants differ most."""

    def take(self, picture: ComparedPicture) -> None:
        """Look at one photograph of one contestant."""


class Pages(Protocol):
    """The pages of this package."""

    def report_material(
        self, run: Path, calibration: Calibration, alphas: Sequence[float] = (), *, full_size: bool = True
    ) -> ReportMaterial:
        """What `run` keeps; `alphas` are levels at which exact shares are kept, beside the usual ones."""

    def compared_pictures(self) -> ComparedPictures:
        """None yet."""

    def write_comparison(self, comparison: Comparison, path: Path, pictures: Any, *, force: bool = False) -> Path:
        """Write the page of a comparison."""

    def refuse_foreign_comparison(self, path: Path, contestants: Sequence[str]) -> None:
        """Refuse a file in the place of the page that is not the page of these contestants."""

    def write_report(self, *arguments: Any, **settings: Any) -> Path:
        """Write the report of a run folder."""

    def write_blocks(self, title: str, blocks: Iterable[Block], path: Path, about: str, *, force: bool = False) -> Path:
        """Write a page of blocks."""

    def calibration_of(self, content: bytes) -> str | None:
        """The digest of the calibration that a page is about; None where it names none."""

    def opening_level(self, calibration: Calibration) -> float:
        """The level at which a report opens."""

    def write_watch_page(self, *arguments: Any, **settings: Any) -> Path:
        """Write what a watch has found so far as one file of HTML; its path."""

    def refuse_foreign_watch(self, path: Path, calibration: Calibration) -> None:
        """Refuse a file in the place of the page that is not the page of this watch."""

    @property
    def viewer_beside_gateway(self) -> Any:
        """The viewer as a part of a gateway."""


def pages() -> Pages:
    """The pages of this package."""
    found: Pages = catalog.hook("pages")
    return found
