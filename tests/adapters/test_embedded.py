"""The embedded vendor as its users meet it: started by `open`, drawn from over HTTP, ended by `close`."""

import http.client
import json
import os
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from support.flow_driver import a_draw, drive, drive_over_http, upload
from support.picture_files import scene

from blackbox_adapters.embedded import Embedded
from blackbox_conformal.errors import AdapterError, RefusedError, UsageError
from blackbox_conformal.method.images.making_inputs import bicubic_up, upload_from
from blackbox_conformal.method.images.read import read_output
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.vendor.adapter import Draw, Upload

GAN = "realesr-general-x4v3"


@pytest.fixture(scope="module")
def vendor():
    opened = Embedded().open()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def low():
    return scene(20, 28)


def draw(vendor: Embedded, low: np.ndarray, index: int) -> np.ndarray:
    sent = upload_from(low, "scene")
    return read_output(drive_over_http(vendor, vendor.draw(sent, a_draw(index))).picture, (80, 112)).pixels


def test_a_draw_is_the_picture_four_times_as_large(vendor, low):
    drawn = draw(vendor, low, 0)
    error = np.abs(drawn.astype(int) - bicubic_up(low, 4)).mean()
    assert error < 20


def test_draws_differ_by_seed_and_repeat_by_seed(vendor, low):
    first, again, second = (draw(vendor, low, index) for index in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)


def test_what_it_says_about_a_draw_is_read(vendor, low):
    (reported,) = drive_over_http(vendor, vendor.draw(upload_from(low, "scene"), a_draw(2))).observed
    assert reported.cost_usd == Decimal(0)
    assert reported.model
    assert reported.request_id
    assert reported.seed == a_draw(2).seed


def test_a_refusal_carries_its_words(vendor):
    with pytest.raises(RefusedError, match="PNG or JPEG") as refused:
        drive_over_http(vendor, vendor.draw(Upload("x", "sha256:0", b"no picture", 4, 4), a_draw(7)))
    assert refused.value.request_id
    assert refused.value.code == "undecodable_picture"


def test_identity_has_no_port(vendor):
    assert vendor.identity() == Embedded().identity()
    assert str(urlsplit(vendor.base_url).port) not in json.dumps(vendor.identity())


def test_identity_of_the_upscaler_is_that_of_before_there_was_a_choice():
    assert Embedded().identity() == {"adapter": "embedded", "adapter_version": 1, "parameters": {}}
    assert Embedded(task="colourise").identity()["parameters"] == {"task": "colourise"}
    assert Embedded(model=GAN).identity()["parameters"] == {"model": GAN}


def test_the_gan_takes_no_seed_and_enlarges_only(vendor, low):
    gan = Embedded(model=GAN, url=vendor.base_url)
    assert (gan.capabilities.seed_range, gan.capabilities.deterministic) == (None, True)
    flow = drive_over_http(gan, gan.draw(upload_from(low, "scene"), Draw(0, None, "a key of it")))
    assert read_output(flow.picture, (80, 112)).pixels.shape == (80, 112, 3)
    assert str(flow.observed[0].model).startswith(f"{GAN}@")
    with pytest.raises(ValueError, match=f"expected no model with the task denoise; {GAN} upscales"):
        Embedded(task="denoise", model=GAN)


def test_a_colouring_has_the_size_and_luma_of_the_picture(vendor, low):
    painter = Embedded(task="colourise", url=vendor.base_url)
    assert (painter.capabilities.scale_factors, painter.capabilities.degradation) == ((1,), "grey")
    grey = np.asarray(Image.fromarray(low).convert("L").convert("RGB"))
    flows = [
        drive_over_http(painter, painter.draw(upload_from(grey, "scene"), a_draw(index))) for index in (20, 20, 21)
    ]
    first, again, second = (read_output(flow.picture, (20, 28)).pixels for flow in flows)
    assert np.abs(first @ (0.299, 0.587, 0.114) - grey[..., 0]).max() <= 0.501
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)
    (reported,) = flows[0].observed
    assert reported.model
    assert reported.model.startswith("embedded-colour@")


def test_the_denoiser_takes_no_seed_and_answers_alike(vendor, low):
    denoiser = Embedded(task="denoise", url=vendor.base_url)
    able = denoiser.capabilities
    assert (able.scale_factors, able.degradation, able.seed_range, able.deterministic) == ((1,), "noise:15", None, True)
    unseeded = Draw(0, None, "a key")
    flow = drive_over_http(denoiser, denoiser.draw(upload_from(low, "scene"), unseeded))
    assert read_output(flow.picture, low.shape[:2]).pixels.shape == low.shape
    assert flow.observed[0].model == "embedded-denoise@1"
    with pytest.raises(UsageError, match="take one draw: leave --draws and --score out"):
        set_up(denoiser, draws=8)


def test_it_is_local_to_the_machine_and_free(vendor):
    able = vendor.capabilities
    assert (able.price.high_usd, able.seed_range) == (0, (0, 2**32 - 1))
    assert not able.local
    assert vendor.auth_variable is None


def test_the_largest_seed_is_taken(vendor, low):
    sent = upload_from(low, "scene")
    assert drive_over_http(vendor, vendor.draw(sent, a_draw(9, seed=2**32 - 1))).picture


@pytest.mark.parametrize("closed_by", ["opened", "original"])
def test_close_ends_the_process_whichever_is_closed(closed_by):
    original = Embedded()
    opened = original.open()
    assert not original.url
    process = opened._process
    assert Path(f"/proc/{process.pid}").exists()
    (opened if closed_by == "opened" else original).close()
    (original if closed_by == "opened" else opened).close()
    opened.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    port = urlsplit(opened.base_url).port
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()


def test_one_that_runs_already_is_used_and_left_running(vendor, low):
    guest = Embedded(url=vendor.base_url + "/")
    assert guest.open() is guest
    assert np.array_equal(draw(guest, low, 4), draw(vendor, low, 4))
    guest.close()
    assert draw(vendor, low, 5).shape == (80, 112, 3)


def test_a_draw_before_open_says_so():
    adapter = Embedded()
    with pytest.raises(AdapterError, match=r"open\(\) first"):
        drive(adapter, adapter.draw(upload(), a_draw()), ())
