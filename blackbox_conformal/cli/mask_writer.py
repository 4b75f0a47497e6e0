"""What `mask` writes of each picture, where it was calculated."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blackbox_conformal.documents.certificate import Certificate
    from blackbox_conformal.documents.signing_key import SigningKey
    from blackbox_conformal.study.mask.products import Products, Result, Wanted
    from blackbox_conformal.study.pages import ReportMaterial


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of a picture: its files, and the preview in the run folder."""

    name: str
    certificate: "Certificate"
    products: "Products"
    preview: Path


@dataclass(frozen=True, slots=True)
class MaskWriter:
    """Writes the files of one picture, in a thread or on a worker that sees the same folders."""

    out: Path
    wanted: "Wanted"
    store: "ReportMaterial"
    key: "SigningKey | None"
    force: bool

    @classmethod
    def of(
        cls,
        out: str,
        wanted: "Wanted",
        store: "ReportMaterial",
        key: "SigningKey | None",
        *,
        force: bool,
        elsewhere: bool,
    ) -> "MaskWriter":
        """What writes into the folder `out`; `elsewhere`: on workers, to which no key goes."""
        if elsewhere:
            return cls(Path(out).absolute(), wanted, store, None, force)
        return cls(Path(out), wanted, store, key, force)

    def __call__(self, place: int, result: "Result") -> Written:
        """Write the files; `place` is that of the picture among the inputs."""
        from blackbox_conformal.study.mask.products import write_products

        products = write_products(result, self.out, self.wanted, sign_with=self.key, force=self.force)
        preview = self.store.masked(result, result.low_resolution, products.image)
        return Written(result.name, result.certificate, products, preview)
