"""`cluster=`: commands from Python give on workers what they give in one process, and buy each draw once."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.synthetic import photograph, write_photographs

import blackbox_conformal as bc
from blackbox_conformal.errors import UsageError
from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

distributed = pytest.importorskip("distributed", reason="distributed is not installed here (pip install -e '.[dask]')")
pytestmark = pytest.mark.filterwarnings("default")

CHOICES: dict[str, Any] = {"draws": 2, "score": "pixel-variance", "metric": "rgb-linf"}


@pytest.fixture
def client():
    workers = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    with distributed.LocalCluster(host="127.0.0.1", **workers) as cluster, distributed.Client(cluster) as client:
        yield client


def made(server: FaultServer, folder: Path, cluster: Any) -> list[object]:
    """What each command gives, and what all of them paid for."""
    vendor, before = SynchronousVendor(url=server.url), server.account.paid
    terms: dict[str, Any] = {"run": folder / "run", "max_cost": 5, "cluster": cluster}
    photographs, unseen = folder.parent / "photographs", folder.parent / "unseen"
    calibration = bc.calibrate(vendor, photographs, **CHOICES, **terms)
    audit = bc.audit(vendor, unseen, calibration, [0.5, 0.9], stop=False, **terms)
    pictures = [("in memory", photograph(40, (24, 20))), folder.parent / "small.png"]
    masked = bc.mask_all(vendor, pictures, calibration, 0.9, outside=0.0, **terms)
    shown = [(one.certificate, one.image.tobytes(), one.mask.tobytes(), one.score_map.tobytes()) for one in masked]
    tuned = bc.tune(vendor, photographs, 0.9, draws=2, **{**terms, "run": folder / "tuned"}).calibration
    assert tuned is not None
    files = [one.save(folder / f"{name}.json").read_bytes() for name, one in (("one", calibration), ("two", tuned))]
    return [files, audit.document(), shown, server.account.paid - before]


@pytest.mark.slow
def test_commands_give_on_a_client_what_they_give_in_one_process(server, client, tmp_path):
    write_photographs(tmp_path / "photographs", range(8))
    write_photographs(tmp_path / "unseen", range(30, 36))
    Image.fromarray(photograph(41, (20, 28))).save(tmp_path / "small.png")
    one = made(server, tmp_path / "one", None)
    many = made(server, tmp_path / "many", client)
    assert (one, client.status, client.submit(sum, [1, 2]).result()) == (many, "running", 3)


@pytest.mark.slow
def test_workers_that_are_started_for_a_call_end_with_it(server, tmp_path, vendor):
    photographs = {f"p{seed}": photograph(seed) for seed in range(3)}
    terms = {"max_calls": 6, **CHOICES}
    many = bc.calibrate(vendor, photographs, run=tmp_path / "run", cluster="local:1", **terms)
    assert server.account.paid == server.account.distinct == 6
    one = bc.calibrate(vendor, photographs, run=tmp_path / "run", **terms)
    assert server.account.paid == 6
    assert one.save(tmp_path / "one").read_bytes() == many.save(tmp_path / "many").read_bytes()
    assert distributed.client._global_clients == {}


def test_what_is_no_cluster_is_refused_before_anything_is_paid(server, client, tmp_path, vendor):
    photographs = {f"p{seed}": photograph(seed) for seed in range(3)}
    terms = {"run": tmp_path / "run", "max_calls": 6, **CHOICES}
    with pytest.raises(UsageError, match=r"distributed\.Client that is open"):
        bc.calibrate(vendor, photographs, cluster=4, **terms)
    calibration = bc.calibrate(vendor, photographs, **terms)
    paid = server.account.paid
    seen = []
    given = {"on_picture": lambda *found: seen.append(found), "run": tmp_path / "run", "max_calls": 6}
    with pytest.raises(UsageError, match="expected no on_picture beside cluster"):
        bc.audit(vendor, {"unseen": photograph(9)}, calibration, cluster=client, **given)
    with pytest.raises(UsageError, match="takes no parameter 'cluster'"):
        bc.compare({"one": vendor}, photographs, cluster=client)
    client.close()
    with pytest.raises(UsageError, match=r"distributed\.Client that is open"):
        bc.calibrate(vendor, photographs, cluster=client, **terms)
    assert server.account.paid == paid
