"""Replicate's own Python client, unchanged but for the address, before the gateway."""

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from support.gateway import calibrated, picture, serving

from blackbox_conformal.testing.fault_server import FaultServer
from blackbox_conformal.testing.reference_adapters import SynchronousVendor

replicate: Any = pytest.importorskip("replicate")
pytest.importorskip("uvicorn")


def test_the_client_runs_a_model_and_reads_the_vendors_bytes_and_the_mask(tmp_path: Path) -> None:
    calibration = calibrated(tmp_path / "calibrated")
    with FaultServer() as server:
        vendor = SynchronousVendor(url=server.url)
        with serving(calibration, vendor, tmp_path / "run", dialects=("replicate", "multipart")) as gateway:
            plain = gateway.post(picture(0)).content
            client = replicate.Client(api_token="any", base_url=gateway.url)
            given = {"image": io.BytesIO(picture(0)), "scale": 4}
            output = client.run("any/blackbox-conformal", input=given)
            assert output.read() == plain
            version = client.run("any/fault-synchronous:fault-vendor-1", input={"image": io.BytesIO(picture(0))})
            assert version.read() == plain
            again = asyncio.run(client.async_run("any/fault-synchronous", input={"image": io.BytesIO(picture(0))}))
            assert again.read() == plain
            prediction = client.predictions.create(
                model="any/blackbox-conformal", input={"image": io.BytesIO(picture(1))}
            )
            prediction.wait()
            assert prediction.status == "succeeded"
            assert gateway.get(prediction.metrics["blackbox_conformal_mask"]).status_code == 200
            assert client.predictions.get(prediction.id).metrics == prediction.metrics
            assert client.webhooks.default.secret().key.startswith("whsec_")
            with pytest.raises(replicate.exceptions.ReplicateError, match="face_enhance"):
                client.run("any/blackbox-conformal", input={"image": io.BytesIO(picture(0)), "face_enhance": True})
    assert server.account.paid == 2
