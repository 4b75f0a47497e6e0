"""A gateway before a cascade: each picture is booked at the vendors that were asked, and a fallback answers."""

import io
from pathlib import Path

import pytest
from PIL import Image as PillowImage
from study.test_cascades import KINDS, of_servers, small
from support.gateway import serving
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.support.text import vendor_title
from blackbox_conformal.testing.fault_server import FaultServer


def png(seed: int) -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(small(seed)).save(file, "PNG")
    return file.getvalue()


def calibrated(vendor, folder: Path) -> list[Path]:
    """The calibration of a cascade, and that of all but its last vendor."""
    photographs = write_photographs(folder / "photographs", range(8))
    spending = {"run": folder / "run", "max_cost": 1, **KINDS}
    every = {"calibration": vendor, "left": vendor.without_last()}
    return [bc.calibrate(one, photographs, **spending).save(folder / f"{name}.json") for name, one in every.items()]


@pytest.mark.parametrize("fallback", [True, False])
def test_the_gateway_serves_a_cascade(tmp_path, *, fallback):
    with FaultServer() as cheap, FaultServer() as dear:
        vendor = of_servers(cheap.url, dear.url)
        file, left = calibrated(vendor, tmp_path)
        settings = {"max_cost": "0.035", **({"fallback": str(left)} if fallback else {})}
        with serving(file, vendor, tmp_path / "served", settings=settings) as gateway:
            answers = [gateway.post(png(seed)) for seed in (20, 20, 21)]
            told = [gateway.get(one.headers["x-blackbox-conformal-certificate"]).json() for one in answers[:2]]
        assert [one.status_code for one in answers] == [200, 200, 200 if fallback else 402]
        assert [one["vendor_model"][:13] for one in told] == ["vendor 2 of 2"] * 2
        # Equal pictures are paid for once; the one without room for both vendors is paid at the first alone, or not.
        assert [server.account.paid - 8 for server in (cheap, dear)] == [2 if fallback else 1, 1]


def test_an_operator_sees_which_vendor_is_down_what_each_costs_and_why_pictures_fell_back(tmp_path, caplog):
    with FaultServer() as cheap, FaultServer() as dear:
        vendor = of_servers(cheap.url, dear.url)
        file, left = calibrated(vendor, tmp_path)
        first, last = (f"{place} {vendor_title(one.identity())}" for place, one in enumerate(vendor.members, 1))
        dear.script = {"submit": "picture:kind=html"}
        settings = {"max_cost": "9", "fallback": str(left)}
        with serving(file, vendor, tmp_path / "served", settings=settings) as gateway:
            assert gateway.get("/readyz").json() == {"ready": True}
            for seed in range(20, 34):
                assert gateway.post(png(seed)).status_code == 200
            down = [gateway.metric(f'vendor_down{{vendor="{name}"}}') for name in (first, last)]
            spent = [gateway.metric(f'vendor_spent_usd_total{{vendor="{name}"}}') for name in (first, last)]
            why = {reason: gateway.metric(f'fallbacks_total{{reason="{reason}"}}') for reason in ("unusable", "down")}
            ready = gateway.get("/readyz")
        assert (down, spent) == ([0, 1], pytest.approx([0.14, 0.01 * (dear.account.paid - 8)]))
        assert 0.01 < spent[1] < 0.14
        assert sum(why.values()) == 14
        assert why["down"] > 0
        assert (ready.status_code, ready.json()) == (200, {"ready": True, "vendors_down": [last]})
    told = [record.getMessage() for record in caplog.records if "no usable answers" in record.getMessage()]
    assert len(told) == 1
    assert f"the vendor {last} gives no usable answers: pictures that go on get the answer before" in told[0]
