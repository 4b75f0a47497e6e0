"""Vendors without a socket: the embedded one, a folder of outputs, and a function."""

import http.client
import json
import os
import threading
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from support.flow_driver import a_draw, drive, drive_over_http, upload
from support.picture_files import scene
from support.synthetic import photograph

import blackbox_conformal as bc
from blackbox_adapters import function
from blackbox_adapters.embedded import Embedded
from blackbox_adapters.folder import Folder
from blackbox_adapters.function import as_picture
from blackbox_conformal.errors import AdapterError, ImageError, NotSentError, RefusedError, UsageError, VendorError
from blackbox_conformal.method.images.making_inputs import bicubic_up, upload_from
from blackbox_conformal.method.images.read import read_image, read_output
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.study.stages.settings import set_up
from blackbox_conformal.support.canonical import digest_json
from blackbox_conformal.vendor.adapter import Answer, Draw, Observed, Send, Upload

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


def filled(root: Path, *names: str, picture: str = "cat") -> Folder:
    (root / picture).mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / picture / name).write_bytes(name.encode())
    return Folder(path=str(root), label="vendor 1")


def draw_of_folder(adapter: Folder, index: int, name: str = "cat") -> str:
    sent = Upload(name, "sha256:0", b"", 4, 4)
    return drive(adapter, adapter.draw(sent, a_draw(index)), ()).picture.decode()


def test_draws_come_in_the_order_of_their_numbers_then_of_their_names(tmp_path):
    adapter = filled(tmp_path, "b.png", "10.png", "2.jpg", "a.webp", "007.tif", "01.png")
    assert [draw_of_folder(adapter, index) for index in range(6)] == [
        "01.png",
        "2.jpg",
        "007.tif",
        "10.png",
        "a.webp",
        "b.png",
    ]


def test_other_files_do_not_count(tmp_path):
    adapter = filled(tmp_path, "1.png", "notes.txt", ".2.png", "Thumbs.db")
    (tmp_path / "cat" / "3.png").mkdir()
    assert draw_of_folder(adapter, 0) == "1.png"
    with pytest.raises(NotSentError, match="draw 2 of picture 'cat'; its folder holds 1"):
        draw_of_folder(adapter, 1)


def test_missing_draws_say_how_many_there_are_and_are_never_retried(tmp_path):
    adapter = filled(tmp_path, "1.png", "2.png", "3.png")
    with pytest.raises(
        NotSentError, match=r"draw 8 of picture 'cat'; its folder holds 3\. Add it, or lower --draws"
    ) as e:
        draw_of_folder(adapter, 7)
    assert e.value.permanent
    with pytest.raises(
        NotSentError, match=r"'dog\.png', with this or another ending, or a folder 'dog' of draws; there is neither$"
    ) as e:
        draw_of_folder(adapter, 0, "dog")
    assert e.value.permanent


def test_two_files_for_one_draw_are_refused(tmp_path):
    adapter = filled(tmp_path, "1.png", "1.jpg")
    with pytest.raises(NotSentError, match=r"'1.jpg' and '1.png' in 'cat' are both one"):
        draw_of_folder(adapter, 0)


@pytest.mark.parametrize("name", ["..", ".", "../secret", "/etc", "a/b", "", "cat\0", "cat/"])
def test_no_name_leads_outside_the_folder(tmp_path, name):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "1.png").write_bytes(b"secret")
    adapter = filled(tmp_path / "draws", "1.png")
    with pytest.raises(NotSentError, match="there is neither"):
        draw_of_folder(adapter, 0, name)


def test_one_picture_of_the_name_is_the_first_draw(tmp_path):
    for name in ("cat.png", "dog.JPG", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    adapter = Folder(path=str(tmp_path), label="vendor 1")
    assert (draw_of_folder(adapter, 0), draw_of_folder(adapter, 0, "dog")) == ("cat.png", "dog.JPG")
    with pytest.raises(NotSentError, match=r"draw 2 of picture 'cat'.*lower --draws"):
        draw_of_folder(adapter, 1)
    with pytest.raises(NotSentError) as e:
        draw_of_folder(adapter, 0, "owl")
    assert "expected in" in str(e.value)
    assert "'owl.png', with this or another ending, or a folder 'owl' of draws; there is neither" in str(e.value)
    assert "lower --draws" not in str(e.value)
    (tmp_path / "cat.webp").write_bytes(b"")
    with pytest.raises(NotSentError, match="are both one"):
        draw_of_folder(adapter, 0)
    assert draw_of_folder(filled(tmp_path, "1.png"), 0) == "1.png", "a folder of draws goes first"


def test_a_suffix_that_all_pictures_have_is_offered(tmp_path):
    for name in ("cat_x4.png", "dog_x4.png"):
        (tmp_path / name).write_bytes(name.encode())
    with pytest.raises(NotSentError, match=r"2 pictures whose names end in '_x4'\. Add -p suffix=_x4$"):
        draw_of_folder(Folder(path=str(tmp_path), label="vendor 1"), 0)
    adapter = Folder(path=str(tmp_path), label="vendor 1", suffix="_x4")
    assert draw_of_folder(adapter, 0) == "cat_x4.png"
    assert adapter.identity() == Folder(path=str(tmp_path), label="vendor 1").identity()
    (tmp_path / "owl.png").write_bytes(b"")
    with pytest.raises(NotSentError, match=r"there is neither$"):
        draw_of_folder(Folder(path=str(tmp_path), label="vendor 1"), 0)


def test_names_match_however_their_accents_are_stored(tmp_path):
    adapter = filled(tmp_path, "1.png", picture="cafe\u0301")
    assert draw_of_folder(adapter, 0, "caf\u00e9") == "1.png"


def test_a_file_that_cannot_be_read_is_an_error_of_ours(tmp_path):
    adapter = filled(tmp_path)
    (tmp_path / "cat" / "1.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NotSentError, match="its folder holds 0"):
        draw_of_folder(adapter, 0)
    (tmp_path / "cat" / "1.png").unlink()
    (tmp_path / "cat").rmdir()
    tmp_path.joinpath("cat").write_text("no folder")
    with pytest.raises(NotSentError, match="there is neither"):
        draw_of_folder(adapter, 0)


def test_a_folder_of_draws_that_cannot_be_listed_is_an_error_of_ours(tmp_path, monkeypatch):
    adapter = filled(tmp_path, "1.png")

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(NotSentError, match="cannot be listed: Permission denied"):
        draw_of_folder(adapter, 0)


def test_the_label_identifies_and_the_place_does_not(tmp_path):
    here, there = filled(tmp_path / "here"), filled(tmp_path / "there")
    assert here.identity() == there.identity()
    assert str(tmp_path) not in json.dumps(here.identity())
    assert Folder(path=str(tmp_path), label="vendor 2").identity() != here.identity()


def test_it_is_local_free_and_unseeded(tmp_path):
    able = Folder(path=str(tmp_path), label="v", scale=2, resample=True).capabilities
    assert able.local
    assert able.price.high_usd == 0
    assert not able.seedable
    assert (able.scale_factors, able.output_size) == ((2,), "resample")
    assert Folder(path=str(tmp_path), label="v").base_url == ""


def test_what_it_observes_is_the_label_and_it_has_no_jobs(tmp_path):
    adapter = filled(tmp_path, "1.png")
    exchange = drive(adapter, adapter.draw(upload(), a_draw()), ())
    assert ([said.model for said in exchange.observed], exchange.sends) == (["vendor 1"], [])
    with pytest.raises(VendorError, match="no jobs"):
        drive(adapter, adapter.resume(upload(), a_draw(), "x"), ())


def test_a_place_that_is_no_folder_is_refused(tmp_path):
    for path in (str(tmp_path / "no"), "nul\0byte"):
        with pytest.raises(UsageError, match=r"path: .*folder that exists"):
            load_adapter("folder", path=path, label="v")
    with pytest.raises(UsageError, match="label"):
        load_adapter("folder", path=str(tmp_path))


SENT = photograph(1, (12, 16))


def larger(picture: np.ndarray) -> np.ndarray:
    """Every pixel four times in each direction."""
    return picture.repeat(4, 0).repeat(4, 1)


def answered(adapter: bc.Adapter, seed: int | None = None) -> tuple[np.ndarray, str]:
    """The picture of one draw, and the model that it is said to come from."""
    flow = adapter.draw(upload_from(SENT, "cat"), Draw(0, seed, "key"))
    step, models = next(flow), []
    try:
        while True:
            models += [step.model] if isinstance(step, Observed) else []
            step = flow.send(adapter.answer(step) if isinstance(step, Send) else Answer(0, {}, b""))
    except StopIteration as end:
        return read_image(end.value).pixels, models[0]


def test_a_picture_goes_in_and_a_picture_comes_out():
    seen = []
    adapter = bc.from_function("larger", lambda picture: seen.append(picture) or larger(picture), test_side=0)
    picture, model = answered(adapter)
    np.testing.assert_array_equal(seen[0], SENT)
    assert seen[0].flags.writeable, "a function may work in what it is given"
    np.testing.assert_array_equal(picture, larger(SENT))
    assert model == "larger 1"
    assert adapter.capabilities.seed_range is None


def test_the_draws_seed_is_given_where_it_is_asked_for():
    def noisy(picture, seed):
        return np.random.default_rng(seed).integers(0, 256, larger(picture).shape, dtype=np.uint8)

    adapter = bc.from_function("noisy", noisy)
    assert adapter.capabilities.seed_range == (0, 2**32 - 1)
    one, again, other = (answered(adapter, seed)[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_numbers_from_0_to_1_are_rounded_and_a_small_overshoot_is_cut(kind):
    def bright(picture):
        answer = larger(picture).astype(kind) / 255
        answer[0, 0], answer[0, 1], answer[0, 2] = 1.2, -0.2, 0.5
        return answer

    picture, _ = answered(bc.from_function("bright", bright))
    assert picture[0, :3, 0].tolist() == [255, 0, 128]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda picture: picture, "uint8 "),
        (lambda picture: larger(picture).transpose(2, 0, 1), r"transpose\(1, 2, 0\)"),
        (lambda picture: larger(picture).astype(np.float32), "float32 from 0 to 2"),
        (lambda picture: larger(picture) * np.nan, "float64 from nan"),
        (lambda picture: larger(picture).astype(np.int64), "int64"),
        (lambda picture: None, "object"),
        (lambda picture: 1 / 0, "ZeroDivisionError: division by zero .*test_local_vendors.py, line"),
    ],
    ids=["too small", "channels first", "0 to 255", "NaN", "integers", "nothing", "fails"],
)
def test_what_is_no_picture_says_what_to_return(answer, said):
    with pytest.raises(NotSentError, match=said) as e:
        answered(bc.from_function("wrong", answer, test_side=0))
    assert e.value.permanent, "the run ends, since the next picture would fare no better"


def test_a_function_that_changes_names_another_answer():
    models = [answered(bc.from_function("m", each))[1] for each in (larger, larger, lambda one: 255 - larger(one))]
    assert models[0] == models[1] != models[2]
    assert all(model.startswith("m 1, test answer ") for model in models)


def test_rounding_is_no_change():
    def nudged(picture):
        answer = larger(picture)
        answer[::17, ::13] ^= 1
        return answer

    models = [answered(bc.from_function("m", each))[1] for each in (larger, nudged)]
    assert models[0] == models[1]


def test_a_function_that_answers_differently_each_time_is_not_called_changed():
    random = np.random.default_rng(0)

    def noisy(picture):
        return random.integers(0, random.integers(2, 256), larger(picture).shape, dtype=np.uint8)

    models = {answered(bc.from_function("m", noisy))[1] for _ in range(3)}
    assert models == {"m 1, test answers differ"}


def test_a_test_picture_that_does_not_fit_says_how_to_change_it():
    def fixed(picture):
        if picture.shape[0] == 64:
            raise ValueError("expected 4 rows")
        return larger(picture)

    with pytest.raises(NotSentError, match="test_side=… makes it another, 0 leaves it out"):
        answered(bc.from_function("fixed", fixed))
    assert answered(bc.from_function("fixed", fixed, test_side=32))[1].startswith("fixed 1, test answer")


def test_the_test_picture_is_answered_once_for_all_threads():
    sides = []
    adapter = bc.from_function("m", lambda one: sides.append(one.shape[0]) or larger(one), concurrency=8)
    threads = [threading.Thread(target=answered, args=(adapter,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sides.count(64), len(sides)) == (2, 10)


def test_no_file_names_a_function_to_run():
    adapter = bc.load_adapter("function", model="mine")
    assert adapter.identity() == bc.from_function("mine", larger).identity()
    with pytest.raises(NotSentError, match=r"a file never says which code to run\. Call bc\.from_function\('mine', …"):
        answered(adapter)


def test_name_version_scale_and_seed_identify_and_nothing_else_does():
    usual = bc.from_function("m", larger).identity()
    assert usual["parameters"] == {"model": "m", "model_version": "1", "scale": 4, "seeded": False}
    same = bc.from_function("m", larger, degradation="area", test_side=8, concurrency=3)
    assert (same.identity(), same.capabilities.max_concurrency, same.capabilities.degradation) == (usual, 3, "area")
    for other in ({"version": "2"}, {"scale": 2}):
        assert bc.from_function("m", larger, **other).identity() != usual


def test_what_is_no_function_or_no_name_is_refused():
    with pytest.raises(UsageError, match="expected a function from picture to picture for m; got str"):
        bc.from_function("m", "model.pt")
    with pytest.raises(UsageError, match="model"):
        bc.from_function("a b", larger)


def test_an_adapter_without_an_address_says_what_it_lacks():
    adapter = bc.load_adapter("folder", path=".", label="v")
    with pytest.raises(bc.BlackboxConformalError, match=r"for a function use bc\.from_function"):
        adapter.answer(Send("POST", "", purpose="submit"))


def test_the_summary_is_that_of_plain_loops():
    picture = function.fixed_picture(12)
    figures = []
    for top in (0, 6):
        for left in (0, 6):
            part = [[[int(v) for v in pixel] for pixel in row[left : left + 6]] for row in picture[top : top + 6]]
            of = range(3)
            figures.append([round(sum(pixel[c] for row in part for pixel in row) / 36) for c in of])
            down = [[sum(abs(part[y + 1][x][c] - part[y][x][c]) for y in range(5) for x in range(6)) / 30 for c in of]]
            across = [
                [sum(abs(part[y][x + 1][c] - part[y][x][c]) for y in range(6) for x in range(5)) / 30 for c in of]
            ]
            figures += [[round(value) for value in row] for row in (*down, *across)]
    assert function.summary(picture) == digest_json(figures).removeprefix("sha256:")[:8]


def test_numbers_from_minus_one_to_one_are_refused_and_an_overshoot_is_not():
    picture = np.linspace(0, 1, 8 * 8 * 3).reshape(8, 8, 3)
    assert as_picture(1.2 * picture - 0.1, (8, 8)).max() == 255
    with pytest.raises(ImageError, match=r"far below 0, as where black is -1. Give \(pixels \+ 1\) / 2"):
        as_picture(2 * picture - 1, (8, 8))
