"""Draws that are all the same end a run while they are bought, not when they are read; and only then."""

import io
import threading
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image as PillowImage
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.drawing.ledger.queries import ledger_ls
from blackbox_conformal.drawing.limits import Limits
from blackbox_conformal.errors import AdapterError
from blackbox_conformal.study.stages.draws import Drawn, map_pictures
from blackbox_conformal.study.stages.prepare import Prepared
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.fault_vendor import Account, FaultVendor
from blackbox_conformal.testing.faults import Fault
from blackbox_conformal.testing.raw_http import Head, Response
from blackbox_conformal.testing.reference_adapters import JobVendor, SynchronousVendor

WORKERS = 8


@pytest.mark.parametrize("kind", [SynchronousVendor, JobVendor])
@pytest.mark.parametrize("limits", [{"max_calls": 96}, {"max_cost_usd": "0.96"}])
def test_equal_draws_cost_twice_the_workers_at_most(tmp_path, kind, limits):
    write_photographs(tmp_path / "photographs", range(12))
    with FaultServer({"submit": Fault("slow-start", {"seconds": 0.1})}, ignores_seed=True) as server:
        vendor = kind(url=server.url)
        most = 2 * WORKERS
        for _ in range(2):
            terms = {"draws": 8, "run": tmp_path / "run", "limits": Limits(concurrency=WORKERS, **limits)}
            with pytest.raises(AdapterError, match="same picture every time"):
                bc.calibrate(vendor, tmp_path / "photographs", **terms)
            assert server.account.paid <= most
            # Repeated, it costs nothing: what is stored says it all.
            most = server.account.paid
    # Nothing that was paid for is left at the vendor.
    states = {attempt.state for attempt in ledger_ls(tmp_path / "run")} - {"planned", "claimed"}
    assert states == {"validated"}


def test_a_vendor_whose_answers_are_equal_is_welcome_where_spread_is_not_asked_for(tmp_path):
    write_photographs(tmp_path / "photographs", range(3))
    with FaultServer(ignores_seed=True) as server:
        vendor = SynchronousVendor(url=server.url)
        found = bc.calibrate(
            vendor, tmp_path / "photographs", draws=1, score="bicubic-gap", run=tmp_path / "run", max_calls=3
        )
        assert found.n == 3
        terms = {"draws": 2, "perturbation": "dihedral", "run": tmp_path / "turned", "max_calls": 6}
        turned = bc.calibrate(SynchronousVendor(url=server.url, seedable=False), tmp_path / "photographs", **terms)
        assert turned.n == 3


def test_an_error_of_the_calculation_is_told_while_draws_are_still_arriving():
    told = threading.Event()
    ended = []
    picture = cast(Prepared, type("Picture", (), {"size": (8, 8), "name": "p"})())

    def arriving():
        yield Drawn(picture, (), None)
        assert told.wait(20), "nobody was told, and everything would have been bought"
        ended.append("what was under way")

    def work(drawn):
        raise AdapterError("equal")

    with pytest.raises(AdapterError, match="equal"):
        list(map_pictures(arriving(), work, 4, on_error=lambda error: told.set()))
    assert ended == ["what was under way"]


@pytest.mark.parametrize("flat", [True, False])
def test_equal_draws_of_one_colour_say_nothing_against_the_vendor(tmp_path, flat):
    write_photographs(tmp_path / "photographs", range(3))
    truth = np.full((64, 80, 3), 128, np.uint8)
    if not flat:
        truth[20:40, 20:40] = 90
    PillowImage.fromarray(truth).save(tmp_path / "photographs" / "sky.png")

    class Certain(FaultVendor):  # Answers the sky without any noise, and everything else with it
        def respond(self, head: Head, body: bytes, port: int, marks: Mapping[str, Any]) -> Response:
            with PillowImage.open(io.BytesIO(body)) as picture:
                pixels = np.asarray(picture.convert("RGB")).astype(int)
                if (abs(pixels - 128) > 60).any():
                    return super().respond(head, body, port, marks)
                large = picture.resize((picture.width * 4, picture.height * 4), PillowImage.Resampling.NEAREST)
                out = io.BytesIO()
                large.save(out, "PNG")
            return Response(200, {"Content-Type": "image/png"}, out.getvalue())

    account = Account(Decimal("0.01"))
    with FaultServer(account=account, vendor=Certain(account)) as server:
        vendor = SynchronousVendor(url=server.url)

        def calibrate():
            return bc.calibrate(vendor, tmp_path / "photographs", draws=3, run=tmp_path / "run", max_calls=12)

        if flat:
            assert calibrate().n == 4
        else:
            with pytest.raises(AdapterError, match="3 draws of sky to differ"):
                calibrate()
