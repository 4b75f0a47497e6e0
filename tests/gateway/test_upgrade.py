"""A picture at once by one draw, and later by more: the further draws alone are paid, and the webhook is told."""

import time
from pathlib import Path
from typing import Any

import pytest
from support.gateway import Gateway, calibrated, picture, serving

import blackbox_conformal as bc
from blackbox_conformal.drawing.ledger.queries import ledger_sum


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a calibration of four draws."""
    return calibrated(tmp_path_factory.mktemp("four"), draws=4)


def upgraded(gateway: Gateway, told: dict[str, Any]) -> dict[str, Any]:
    """The request that upgrades another, once it has ended."""
    while True:
        found: dict[str, Any] = gateway.get(told["blackbox_conformal"]["upgrade"]).json()
        if found["state"] not in ("accepted", "running"):
            return found
        time.sleep(0.05)


def test_further_draws_follow_the_answer_and_only_they_are_paid(calibration, four, vendor, server, tmp_path):
    with serving(calibration, vendor, tmp_path / "run", upgrade=four) as gateway:
        plain = gateway.json(picture(1))
        assert "upgrade" not in plain["blackbox_conformal"]
        told = gateway.json(picture(0), Prefer="upgrade")
        assert told["state"] == "done"
        further = upgraded(gateway, told)
        mask = gateway.get(further["blackbox_conformal"]["mask"])
        answer = gateway.get(further["blackbox_conformal"]["picture"]).content
        assert answer == gateway.get(told["blackbox_conformal"]["picture"]).content
    assert server.account.paid == 1 + 4
    alone = bc.mask(vendor, picture(0), four, 0.9, run=tmp_path / "alone", max_calls=4)
    assert further["blackbox_conformal"]["trusted_share"] == alone.certificate.trusted_share
    assert further["blackbox_conformal"]["guarantee"] == alone.certificate.stated
    assert mask.status_code == 200


def test_an_upgrade_that_the_budget_has_no_room_for_fails_and_the_first_answer_stays(
    calibration, four, vendor, server, tmp_path
):
    settings = {"max_cost": "0.02"}
    with serving(calibration, vendor, tmp_path / "run", upgrade=four, settings=settings) as gateway:
        told = gateway.json(picture(0), Prefer="upgrade")
        further = upgraded(gateway, told)
        assert (told["state"], further["state"]) == ("done", "failed")
        assert "allowed" in further["error"]
    assert ledger_sum(tmp_path / "run")["attempts"] == server.account.paid == 1
    # The next start has room, and asks for nothing that has ended.
    with serving(calibration, vendor, tmp_path / "run", upgrade=four) as gateway:
        assert gateway.metric("requests_ended_total") == 2
    assert server.account.paid == 1


def test_without_a_calibration_of_more_draws_an_upgrade_is_refused(calibration, vendor, server, tmp_path):
    with serving(calibration, vendor, tmp_path / "run") as gateway:
        refused = gateway.post(picture(0), Prefer="upgrade")
        assert refused.status_code == 422
        assert "--upgrade" in refused.json()["detail"]
    assert server.account.paid == 0
