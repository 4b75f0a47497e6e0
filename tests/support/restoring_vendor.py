"""A vendor of the fault server that returns pictures of the size that it gets."""

from dataclasses import replace
from typing import ClassVar

from pydantic import Field

from blackbox_conformal.testing.reference_adapters import SynchronousVendor
from blackbox_conformal.vendor.adapter import Capabilities

RESTORING = "support.restoring_vendor:RestoringVendor"


class RestoringVendor(SynchronousVendor):
    """Scale 1 beside the usual ones."""

    name: ClassVar[str] = "fault-restoring"

    scale: int = Field(default=1, description="Magnification to ask for.")

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, scale_factors=(1, 2, 4))
