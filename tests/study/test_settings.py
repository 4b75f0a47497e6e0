"""What cannot give different draws is refused before anything is paid."""

from dataclasses import replace
from typing import Any

import pytest

from blackbox_conformal.errors import UsageError
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.testing.reference_adapters import SynchronousVendor


class Constant(SynchronousVendor):
    """A vendor that is known to answer equal requests equally."""

    @property
    def capabilities(self) -> Any:
        return replace(super().capabilities, seed_range=None, deterministic=True)


class Doubling(SynchronousVendor):
    """A vendor that only doubles."""

    @property
    def capabilities(self) -> Any:
        return replace(super().capabilities, scale_factors=(2,))


VENDOR = Constant(url="http://127.0.0.1:9", seedable=False)


def test_a_vendor_that_never_varies_is_not_drawn_from_twice():
    with pytest.raises(UsageError, match=r"8 draws would be one picture.*--perturbation dihedral.*leave --draws and"):
        set_up(VENDOR, draws=8)
    assert set_up(VENDOR, draws=8, perturbation="dihedral").procedure.draws == 8
    assert set_up(VENDOR).procedure.draws == 1
    assert set_up(SynchronousVendor(url="http://127.0.0.1:9"), draws=8).procedure.draws == 8


def test_a_second_vendor_without_the_scale_is_refused_with_the_scales_that_it_has():
    vendor = SynchronousVendor(url="http://127.0.0.1:9")
    with pytest.raises(UsageError, match="does not offer scale 4, only 2: give --scale 2, or another --second-adapter"):
        set_up(vendor, draws=1, score="second-opinion", second=Doubling(url="http://127.0.0.1:9"), scale=4)
