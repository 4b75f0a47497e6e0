"""An audit of a paid vendor buys no photograph after it is settled, resumes in the same order, and says how it went."""

import numpy as np
import pytest
from support.audit_material import audited_picture, calibration_of, curves, maps
from support.synthetic import write_photographs

import blackbox_conformal as bc
from blackbox_conformal.errors import BudgetError
from blackbox_conformal.method.audits.findings import Audit
from blackbox_conformal.pages.report.report_store import AUDITS
from blackbox_conformal.study.audit.auditing import Stopping
from blackbox_conformal.study.audit.conclude import conclude
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

DRAWS, GIVEN, EASY = 2, 16, 0.95
CHOICES = {"draws": DRAWS, "score": "pixel-variance", "metric": "rgb-linf"}


@pytest.fixture
def shop(tmp_path):
    """(server, vendor, calibration, unseen photographs): at `EASY` a few photographs confirm."""
    with FaultServer() as server:
        vendor = SynchronousVendor(url=server.url)
        known = write_photographs(tmp_path / "known", range(20))
        calibration = bc.calibrate(vendor, known, run=tmp_path / "run", max_cost=5, **CHOICES)
        yield server, vendor, calibration, write_photographs(tmp_path / "unseen", range(20, 20 + GIVEN))


def audit(shop, tmp_path, photographs=None, alpha=EASY, **settings) -> Audit:
    _, vendor, calibration, unseen = shop
    settings = {"max_cost": 5, "concurrency": 1, **settings}
    return bc.audit(vendor, photographs or unseen, calibration, alpha, run=tmp_path / "run", **settings)


def test_fewer_calls_are_paid_than_photographs_were_given_and_the_same_command_pays_nothing(shop, tmp_path):
    server = shop[0]
    before = server.account.paid
    found = audit(shop, tmp_path)
    paid = server.account.paid - before
    assert found.verdict == found.stop.reason == "confirmed"
    assert found.stop.looked == found.n < found.stop.given == GIVEN
    assert paid == found.calls == DRAWS * found.n < DRAWS * GIVEN
    bounds = [look.bounds[0] for look in found.stop.looks]
    assert bounds[-1] == found.levels[0].judgement.interval[1] <= EASY
    assert all(bound > EASY for bound in bounds[:-1]), "one photograph too many was bought"
    again = audit(shop, tmp_path)
    assert (again.calls, again.n, again.verdict) == (0, found.n, "confirmed")
    assert [one.truth for one in again.pictures] == [one.truth for one in found.pictures]
    digests = sorted(one.truth for one in audit(shop, tmp_path, stop=False).pictures)
    assert len(digests) == GIVEN
    assert [one.truth for one in found.pictures] == digests[: found.n], "the order is that of the digests"


def test_how_it_went_is_in_the_document_and_is_kept(shop, tmp_path):
    found = audit(shop, tmp_path)
    told = found.document()["stop"]
    assert (told["given"], told["looked"], told["reason"]) == (GIVEN, found.n, "confirmed")
    assert told["meaning"] == found.stop.sentence
    assert told["looks"][-1] == {"units": found.n, "bounds": list(found.stop.looks[-1].bounds)}
    assert AUDITS.read(AUDITS.write(found, tmp_path / "audit.json")).stop == found.stop
    fixed = audit(shop, tmp_path, stop=False)
    assert (fixed.stop, fixed.document()["stop"], fixed.n) == (None, None, GIVEN)


def test_an_interrupted_audit_goes_on_in_the_same_order(shop, tmp_path):
    server = shop[0]
    before = server.account.paid
    seen = []

    def fail(picture, *_):
        seen.append(picture.name)
        raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        audit(shop, tmp_path, on_picture=fail)
    drawn = server.account.paid - before
    found = audit(shop, tmp_path)
    assert found.verdict == "confirmed"
    assert 0 < drawn <= server.account.paid - before == DRAWS * found.n < DRAWS * GIVEN
    assert set(seen) <= {one.name for one in found.pictures}


def test_a_budget_that_all_photographs_would_exceed_buys_nothing(shop, tmp_path):
    before = shop[0].account.paid
    with pytest.raises(BudgetError):
        audit(shop, tmp_path, max_cost=0.01)
    assert shop[0].account.paid == before


def test_photographs_that_were_added_come_after_those_that_were_looked_at(shop, tmp_path):
    first = audit(shop, tmp_path, shop[3][8:12], alpha=0.3)
    second = audit(shop, tmp_path, alpha=0.3)
    assert second.stop.looks[0].units == first.n == 4
    assert second.stop.looks[0].bounds == first.stop.looks[-1].bounds


def test_tiles_of_a_photograph_are_drawn_together(shop, tmp_path):
    tiles = {path.stem: f"whole {index // 2}" for index, path in enumerate(shop[3])}
    found = audit(shop, tmp_path, tiles=tiles)
    assert found.verdict == "confirmed"
    assert found.n == 2 * found.units == 2 * found.stop.looked < GIVEN
    assert found.stop.given == GIVEN // 2


def test_a_vendor_whose_trusted_pixels_are_all_wrong_is_contradicted_before_the_last_photograph():
    calibration, alpha, given = calibration_of(curves(0, 40)), 0.3, 100
    rule = calibration.rule()
    thresholds = [rule.threshold(calibration.curves, alpha)]
    rng = np.random.default_rng(1)
    stopping, pictures = Stopping(calibration, rule, [alpha], None), []
    needed = stopping.needed(given)
    while stopping.reason is None:
        scores, errors = maps(rng)
        pictures.append(audited_picture(f"a{len(pictures)}", scores, np.ones_like(errors), thresholds))
        stopping.look(pictures)
    assert needed <= len(pictures) < given
    stop = stopping.stop(given)
    found = conclude(calibration, rule, [alpha], pictures, stop=stop)
    judgement = found.levels[0].judgement
    assert (stop.reason, found.verdict, judgement.verdict) == ("contradicted",) * 3
    assert judgement.p_value == 1, "random splits are no test at a number that results decided"
    assert judgement.p_promise <= stop.share
    assert "were the guarantee to hold" in found.levels[0].meaning


def test_a_bound_of_the_picture_that_proves_wrong_ends_the_audit():
    calibration = calibration_of(curves(0, 40))
    rule = calibration.rule()
    thresholds = [rule.threshold(calibration.curves, 0.3)]
    stopping = Stopping(calibration, rule, [0.3], None)
    stopping.look([audited_picture("a", *maps(np.random.default_rng(1)), thresholds, broken=True)])
    assert stopping.reason == "contradicted"
