"""Draws from this machine's disk: no call, no price, no trace in the run folder."""

from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
from support.draws import limits, tasks

from blackbox_conformal.drawing.sampler import Sampler
from blackbox_conformal.drawing.spending.estimate import estimate
from blackbox_conformal.errors import (
    AdapterError,
    ImageError,
    IncompleteError,
    PayloadError,
    RefusedError,
    RunRefusedError,
)
from blackbox_conformal.vendor.adapter import FREE, Adapter, Capabilities, Draw, Flow, Observed, Send, Upload, Wait


class Folder(Adapter):
    """Reads `folder`/<draw>.bin; `sends` makes it break its promise."""

    name: ClassVar[str] = "tiny-folder"
    folder: Path
    sends: bool = False
    refuses: tuple[int, ...] = ()
    refuses_all: bool = False

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(scale_factors=(2,), price=FREE, local=True)

    @property
    def base_url(self) -> str:
        return ""

    def draw(self, upload: Upload, draw: Draw) -> Flow:
        yield Observed(model="disk")
        if self.sends:
            yield Send("GET", "http://127.0.0.1/", "download")
        yield Wait(0.0)
        if self.refuses_all:
            raise RunRefusedError("no picture of this run")
        if draw.index in self.refuses:
            raise RefusedError("moderated \x1b[31m")
        return (self.folder / f"{draw.index}.bin").read_bytes()


@pytest.fixture
def adapter(tmp_path: Path) -> Folder:
    for index in range(3):
        (tmp_path / f"{index}.bin").write_bytes(b"draw %d" % index)
    return Folder(folder=tmp_path)


def test_draws_are_free_cached_and_leave_no_run_folder(adapter, tmp_path):
    run = tmp_path / "run"
    with Sampler(adapter, run, limits()) as sampler:
        outcomes = list(sampler.draw(tasks(1, 3)))
        assert [sampler.read(one) for one in outcomes] == [b"draw 0", b"draw 1", b"draw 2"]
        assert estimate(adapter, run, limits(), tasks(1, 3)).calls == 0
    assert all(one.cached and one.cost_usd == 0 and one.model == "disk" for one in outcomes)
    assert not run.exists()


def test_a_file_that_changes_meanwhile_is_noticed(adapter, tmp_path):
    with Sampler(adapter, tmp_path / "run", limits()) as sampler:
        (one,) = sampler.draw(tasks())
        (tmp_path / "0.bin").write_bytes(b"other")
        with pytest.raises(PayloadError, match="changed"):
            sampler.read(one)


def test_checks_stops_and_broken_promises(adapter, tmp_path):
    with Sampler(adapter, tmp_path / "run", limits(), check=Mock(side_effect=ImageError("no picture"))) as sampler:
        (one,) = sampler.draw(tasks())
        assert (one.state, str(one.error)) == ("invalid", "no picture")
        drawn: Any = sampler.draw(tasks(1, 3))
        next(drawn)
        sampler.stop()
        with pytest.raises(IncompleteError, match="2 of 3"):
            next(drawn)
    with (
        Sampler(Folder(folder=tmp_path, sends=True), tmp_path / "run", limits()) as sampler,
        pytest.raises(AdapterError, match="local"),
    ):
        list(sampler.draw(tasks()))


def test_a_refusal_is_the_outcome_of_one_draw_unless_it_is_of_all(adapter, tmp_path):
    refusing = adapter.model_copy(update={"refuses": (1,)})
    with Sampler(refusing, tmp_path / "run", limits()) as sampler:
        outcomes = list(sampler.draw(tasks(1, 3)))
        assert [one.state for one in outcomes] == ["stored", "refused", "stored"]
        assert isinstance(outcomes[1].error, RefusedError)
        assert str(outcomes[1].error).startswith("moderated")
        assert "\x1b" not in str(outcomes[1].error)
        assert (outcomes[1].digest, outcomes[1].cost_usd) == (None, 0)
    ending = adapter.model_copy(update={"refuses_all": True})
    with (
        Sampler(ending, tmp_path / "run", limits()) as sampler,
        pytest.raises(RunRefusedError, match="no picture of this run"),
    ):
        list(sampler.draw(tasks(1, 3)))
