"""The viewer's addresses over a real socket: exact maps and masks, files by the index alone, damage, strangers."""

import io
import json
import shutil
import subprocess
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image
from support.forked import Forked
from support.gateway import calibrated, picture, serving

from blackbox_conformal.cli.main import run
from blackbox_conformal.documents.calibration import Calibration
from blackbox_conformal.errors import IncompleteError
from blackbox_conformal.gateway.tokens import Tokens
from blackbox_conformal.method.images.encode import mask_png
from blackbox_conformal.method.risk.trust import trusted
from blackbox_conformal.pages.report.full_size import FullSizeStore
from blackbox_conformal.pages.viewer.local_site import LocalSite
from blackbox_conformal.pages.viewer.view_page import RunPictures, Thumbnails, ViewBesideGateway, open_run
from blackbox_conformal.testing.reference_adapters import SynchronousVendor


@contextmanager
def served(folder, calibration):
    page = open_run(folder, calibration)
    with LocalSite(page.routes()) as site, site.running() as url:
        yield url, page


def stems(url):
    return {name: stem for stem, name, *_ in httpx.get(f"{url}pictures").json()["pictures"]}


def slider(url):
    page = httpx.get(url).text
    return json.loads(page.split('id="stops">')[1].split("</script>")[0])


def codes(url, stem, part, size):
    """What a browser makes of the answer: inflated by the transport, then row differences undone."""
    answer = httpx.get(f"{url}pictures/{stem}/{part}")
    assert answer.headers["content-encoding"] == "deflate"
    return np.cumsum(np.frombuffer(answer.content, np.uint8).reshape(size), axis=0, dtype=np.uint8)


def pixels(answer):
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def test_every_level_of_the_slider_gives_the_mask_of_its_threshold(viewed_run, viewer_url):
    alphas = slider(viewer_url)["alphas"]
    assert len(alphas) > 100
    for name, stem in stems(viewer_url).items():
        scores = viewed_run.scores[name]
        detail = httpx.get(f"{viewer_url}pictures/{stem}").json()
        first = np.array(detail["firstStops"])[codes(viewer_url, stem, "levels", scores.shape)]
        for stop, alpha in enumerate(alphas):
            mask = trusted(scores, viewed_run.calibration.threshold(alpha))
            assert ((first <= stop) == mask).all(), (name, alpha)
            assert detail["shares"][stop] == pytest.approx(mask.mean(), abs=1e-7)
            worst = viewed_run.errors[name]
            if worst is None:
                assert detail["losses"] is None
            else:
                assert detail["losses"][stop] == pytest.approx(worst[mask].max(initial=0), abs=1e-6)


def test_pictures_are_those_that_were_masked_and_audited(viewed_run, viewer_url):
    assert set(stems(viewer_url)) == set(viewed_run.scores)
    for name, stem in stems(viewer_url).items():
        for part, expected in viewed_run.pictures[name].items():
            assert (pixels(httpx.get(f"{viewer_url}pictures/{stem}/{part}")) == expected).all()


def test_files_to_save_are_those_of_the_mask_command(viewed_run, viewer_url):
    alphas = slider(viewer_url)["alphas"]
    stop = alphas.index(0.1)
    name = "whole 0"
    stem = stems(viewer_url)[name]
    mask = trusted(viewed_run.scores[name], viewed_run.calibration.threshold(0.1))
    saved = httpx.get(f"{viewer_url}pictures/{stem}/mask/{stop}")
    assert saved.content == mask_png(mask)
    assert saved.content == (viewed_run.folder.parent / "masked" / "whole 0-mask.png").read_bytes()
    assert "whole%200-alpha-0.1-mask.png" in saved.headers["content-disposition"]
    safe = (viewed_run.folder.parent / "masked" / "whole 0-safe.png").read_bytes()
    saved = httpx.get(f"{viewer_url}pictures/{stem}/safe/{stop}")
    assert (pixels(saved) == np.asarray(Image.open(io.BytesIO(safe)))).all()
    assert b"compositeWithTrainedAlgorithmicMedia" in saved.content
    assert b"<rdf:li>whole 0-alpha-0.1-mask.png</rdf:li>" in saved.content
    shown = httpx.get(f"{viewer_url}pictures/{stem}").json()["shown"][stop]
    assert (
        pixels(httpx.get(f"{viewer_url}pictures/{stem}/shown/{shown}"))[~mask]
        == np.asarray(Image.open(io.BytesIO(safe)))[~mask]
    ).all()
    assert httpx.get(f"{viewer_url}pictures/{stem}/shown/another").status_code == 404


def test_the_tables_of_a_stop_hold_every_picture(viewed_run, viewer_url):
    index = httpx.get(f"{viewer_url}pictures").json()["pictures"]
    assert [kind for _, _, kind, *_ in index] == ["result", "audit", "audit"]
    table = np.frombuffer(httpx.get(f"{viewer_url}stops/20").content, "<f4").reshape(2, -1)
    for number, (stem, *_) in enumerate(index):
        detail = httpx.get(f"{viewer_url}pictures/{stem}").json()
        assert table[0, number] == np.float32(detail["shares"][20])
        assert np.isnan(table[1, number]) == (detail["losses"] is None)


def test_thumbnails_show_a_block_as_trusted_only_when_all_of_it_is(viewed_run, viewer_url):
    name = "unseen 0"
    scores, stem = viewed_run.scores[name], stems(viewer_url)[name]
    small = pixels(httpx.get(f"{viewer_url}pictures/{stem}/thumbnail"))
    found = np.frombuffer(httpx.get(f"{viewer_url}pictures/{stem}/thumbnail-stops").content, np.uint8)
    found = found.reshape(small.shape[:2])
    assert small.shape[:2] == (160, 224)
    alphas = slider(viewer_url)["alphas"]
    for stop in (3, len(alphas) // 2, len(alphas) - 5):
        mask = trusted(scores, viewed_run.calibration.threshold(alphas[stop]))
        assert ((found <= stop) == mask.reshape(160, 2, 224, 2).all(axis=(1, 3))).all()


def test_thumbnails_are_made_once_and_kept_within_bounds(viewed_run, monkeypatch):
    page = open_run(viewed_run.folder, viewed_run.calibration)
    thumbnails = Thumbnails(page.pictures)
    entries = [page.pictures.entry(stem) for stem in page.pictures.pictures]
    made = [thumbnails.picture(entry) for entry in entries]
    with monkeypatch.context() as patched:
        patched.setattr(RunPictures, "pixels", lambda *_: pytest.fail("made again"))
        assert [thumbnails.picture(entry) for entry in entries] == made
    monkeypatch.setattr("blackbox_conformal.pages.viewer.view_page.MOST_BYTES", len(made[2]) + 1)
    thumbnails.stops(entries[0])
    assert thumbnails.bytes <= len(made[2]) + 1


PATHS = "pictures/nothing pictures/..%2f..%2fcalibration pictures/../calibration.json pictures/%2e%2e/delivered"
PATHS += " pictures/{stem}/certificate pictures/{stem}/..%2f..%2f..%2fcalibration.json pictures/{stem}/truth"
PATHS += " pictures/{stem}/mask/-1 pictures/{stem}/mask/999 pictures/{stem}/mask/%D9%A3 stops/1e2 assets/viewer.js"
PATHS += " assets/../view_page.py calibration.json"


@pytest.mark.parametrize("path", PATHS.split())
def test_nothing_but_the_index_is_served(viewer_url, path):
    parts = urlsplit(viewer_url + path.format(stem=stems(viewer_url)["whole 0"]))
    # As it is, without the client's own tidying of paths.
    with httpx.Client() as client:
        request = client.build_request("GET", viewer_url)
        request.url = request.url.copy_with(raw_path=(parts.path).encode())
        assert client.send(request).status_code == 404


@pytest.fixture
def copied(viewed_run, tmp_path):
    """A copy of the run folder, of which a test may change what it likes, and the folder of its full-size pictures."""
    shutil.copytree(viewed_run.folder, tmp_path / "run")
    return tmp_path / "run", next((tmp_path / "run").glob("report/*/full-size"))


def test_each_certificate_goes_with_the_stop_of_its_own_level(viewed_run, copied, tmp_path):
    folder, _ = copied
    inputs = viewed_run.folder.parent / "inputs"
    given = ("--calibration", folder / "calibration.json", "--run", folder, "-q")
    for alpha, guarantee in ((0.2, "expected"), (0.3, "high-probability:method=hoeffding-bentkus")):
        out = ("--alpha", alpha, "--guarantee", guarantee, "--out", tmp_path / f"masked {alpha}")
        assert run([*map(str, ("mask", inputs, *given, *out))]) == 0
    with served(folder, viewed_run.calibration) as (url, _):
        found = httpx.get(f"{url}pictures/{stems(url)['whole 0']}").json()
        alphas = slider(url)["alphas"]
    told = {one["alpha"]: one for one in found["certificates"]}
    assert list(told) == ["0.1", "0.2", "0.3"]
    assert [told[alpha]["stop"] for alpha in told] == [alphas.index(0.1), alphas.index(0.2), None]
    assert all(f"at most {alpha}" in told[alpha]["text"] for alpha in ("0.1", "0.2"))
    assert "is another one than this slider shows" in told["0.3"]["text"]
    assert not any("certificate" in note for note in found["notes"])
    assert all(note[0].isupper() and note.endswith(".") for note in found["notes"])


def test_a_changed_file_is_not_shown(viewed_run, copied):
    folder, kept = copied
    with served(folder, viewed_run.calibration) as (url, _):
        stem = stems(url)["whole 0"]
        for part in ("delivered.png", "levels.z"):
            path = kept / f"{stem}-{part}"
            path.unlink()
            path.write_bytes(b"other")
            answer = httpx.get(f"{url}pictures/{stem}/{part.split('.')[0]}")
            assert answer.status_code == 502
            assert "was changed" in answer.json()["detail"]
            path.unlink()
            assert "cannot be read" in httpx.get(f"{url}pictures/{stem}/{part.split('.')[0]}").json()["detail"]
        assert httpx.get(f"{url}pictures/{stem}/thumbnail").status_code == 502


def test_a_link_to_another_file_is_not_followed_to_the_browser(viewed_run, copied, tmp_path):
    folder, kept = copied
    secret = tmp_path / "secret.png"
    Image.new("RGB", (400, 240)).save(secret)
    with served(folder, viewed_run.calibration) as (url, _):
        stem = stems(url)["whole 0"]
        path = kept / f"{stem}-delivered.png"
        path.unlink()
        path.symlink_to(secret)
        assert httpx.get(f"{url}pictures/{stem}/delivered").status_code == 502


def test_damaged_entries_and_foreign_levels_are_left_out_and_named(viewed_run, copied):
    folder, kept = copied
    one, other, _ = sorted(kept.glob("*.json"))
    one.write_text("{")
    content = json.loads(other.read_bytes())
    other.write_text(json.dumps({**content, "thresholds": content["thresholds"][:-16] + "AAAAAAAA8D8="}))
    page = open_run(folder, viewed_run.calibration)
    assert page.count == 1
    assert [name for name, _ in page.left_out if name == one.name]
    assert len(page.left_out) == 2
    with LocalSite(page.routes()) as site, site.running() as url:
        assert "2 pictures are left out" in httpx.get(url).text


def test_hostile_names_stay_text(viewed_run, copied):
    folder, kept = copied
    for path in kept.glob("*.json"):
        content = json.loads(path.read_bytes())
        content["name"] = "</script><script>document.title='owned'</script>\r\nX: y\u202e.png"
        content["notes"] = ["<img src=x onerror=alert(1)>"]
        path.write_text(json.dumps(content))
    with served(folder, viewed_run.calibration) as (url, _):
        assert "owned" not in httpx.get(url).text
        stem = httpx.get(f"{url}pictures").json()["pictures"][0][0]
        saved = httpx.get(f"{url}pictures/{stem}/mask/3")
        assert saved.status_code == 200
        assert "\n" not in saved.headers["content-disposition"]
        assert "x" not in saved.headers


def test_a_run_without_pictures_says_how_to_get_them(viewed_run, copied):
    folder, kept = copied
    shutil.rmtree(kept)
    with served(folder, viewed_run.calibration) as (url, _):
        assert "keeps no full-size pictures" in httpx.get(url).text


def test_stored_maps_are_small(viewed_run):
    kept = next(viewed_run.folder.glob("report/*/full-size"))
    path = next(kept.glob("audit-*-levels.z"))
    assert len(zlib.decompress(path.read_bytes())) in {scores.size for scores in viewed_run.scores.values()}
    assert path.stat().st_size < 0.8 * len(zlib.decompress(path.read_bytes()))


def test_the_command_prints_a_link_and_ends_well(viewed_run):
    words = ["view", str(viewed_run.folder), "--json", "--alpha", "0.3"]
    with Forked(
        [sys.executable, "-m", "blackbox_conformal.cli.main", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        told = json.loads(process.stdout.readline())
        assert (told["pictures"], told["alpha"], httpx.get(told["url"]).status_code) == (3, 0.3, 200)
        process.send_signal(2)
        assert process.wait(20) == 0
        assert b"Stop with Ctrl-C" in process.stderr.read()
    assert not list(Path(viewed_run.folder).glob("**/*.tmp"))


def test_other_machines_are_let_in_only_by_who_types_it(viewed_run, monkeypatch, capsys):
    folder = str(viewed_run.folder)
    assert run(["view", folder, "--host", "0.0.0.0"]) == 2
    assert "--beyond-loopback" in capsys.readouterr().err
    monkeypatch.setenv("BLACKBOX_CONFORMAL_BEYOND_LOOPBACK", "1")
    assert run(["view", folder, "--host", "0.0.0.0"]) == 2
    assert "typed" in capsys.readouterr().err


def test_without_a_folder_only_runs_with_a_calibration_are_offered(viewed_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("failed", "one", "two"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        shutil.copy(viewed_run.folder / "ledger.sqlite", tmp_path / "runs" / name)
    assert run(["view"]) == 2
    assert (
        "expected RUN, the folder of a run, since no folder below ./runs holds a calibration" in capsys.readouterr().err
    )
    for name in ("one", "two"):
        shutil.copy(viewed_run.folder / "calibration.json", tmp_path / "runs" / name)
    assert run(["view"]) == 2
    said = capsys.readouterr().err
    assert "since there is more than one: runs/one, runs/two" in said
    assert "--run" not in said


def test_without_its_extra_the_command_says_what_to_install(viewed_run, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run(["view", str(viewed_run.folder)]) == 2
    assert "pip install 'blackbox-conformal[serve]'" in capsys.readouterr().err


def test_pictures_of_one_name_say_where_they_are_from(viewed_run, copied):
    folder, kept = copied
    for path in kept.glob("audit-*.json"):
        path.write_text(path.read_text().replace('"unseen 0"', '"unseen 1"'))
    with served(folder, viewed_run.calibration) as (url, _):
        rows = httpx.get(f"{url}pictures").json()["pictures"]
    names = [name for _, name, kind, *_ in rows if kind == "audit"]
    assert len(set(names)) == 2
    assert all(name.startswith("unseen 1 (") for name in names)
    assert (sum("/unseen 0." in name for name in names), rows[0][1]) == (1, "whole 0")


def test_what_is_masked_meanwhile_appears_at_the_next_look(viewed_run, copied):
    folder, kept = copied
    aside = folder.parent / "aside"
    aside.mkdir()
    (audited,) = [path for path in kept.glob("audit-*.json") if '"unseen 1"' in path.read_text()]
    for path in kept.glob(f"{audited.stem}*"):
        path.rename(aside / path.name)
    with served(folder, viewed_run.calibration) as (url, page):
        before = httpx.get(f"{url}pictures").json()["pictures"]
        assert [name for _, name, *_ in before] == ["whole 0", "unseen 0"]
        for path in aside.iterdir():
            path.rename(kept / path.name)
        httpx.get(url)
        after = httpx.get(f"{url}pictures").json()["pictures"]
        assert after[:2] == before, "a page that is open goes on counting as it did"
        assert after[2][1] == "unseen 1"
        table = np.frombuffer(httpx.get(f"{url}stops/9").content, "<f4").reshape(2, 3)
        assert table[0, 2] == np.float32(httpx.get(f"{url}pictures/{after[2][0]}").json()["shares"][9])
        httpx.get(url)
        assert page.count == 3


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return calibrated(tmp_path_factory.mktemp("served"))


def test_the_page_shows_what_the_gateway_masked_to_who_knows_its_link(calibration, tmp_path, server):
    tokens = tmp_path / "tokens.json"
    made = Tokens(tokens).new("alice").reveal()
    view = ViewBesideGateway(tmp_path / "run", Calibration.load(calibration), 0.9, ())
    vendor = SynchronousVendor(url=server.url)
    given = {"tokens": tokens, "on_masked": view.on_masked, "around": view.around}
    with serving(calibration, vendor, tmp_path / "run", **given) as gateway:
        page = f"{gateway.url}{view.path}"
        assert "keeps no full-size pictures" in httpx.get(page).text
        told = gateway.json(picture(0), token=made)
        assert 'id="stage"' in httpx.get(page).text
        ((stem, name, kind, *_),) = httpx.get(f"{page}pictures").json()["pictures"]
        assert (name, kind) == ("in", "result")
        served = gateway.get(f"/files/{told['id']}/mask.png", made).content
        assert httpx.get(f"{page}pictures/{stem}/mask/{_stop(page, 0.9)}").content == served
        # The gateway's own addresses ask for a token as before, and the page's key opens nothing else.
        assert (gateway.get("/metrics").status_code, gateway.get("/view/").status_code) == (401, 404)
        assert gateway.get(f"{view.path}../metrics").status_code in (401, 404)
        assert httpx.get(page, headers={"Host": "evil.example"}).status_code == 421


def _stop(page: str, alpha: float) -> int:
    text = httpx.get(page).text.split('id="stops">')[1].split("</script>")[0]
    labels: list[str] = json.loads(text)["labels"]
    return labels.index(f"{alpha:g}")


def test_a_request_is_answered_when_nothing_can_be_kept(calibration, tmp_path, monkeypatch, server):
    monkeypatch.setattr(FullSizeStore, "keep", Mock(side_effect=IncompleteError("the disk is full")))
    view = ViewBesideGateway(tmp_path / "run", Calibration.load(calibration), 0.9, ())
    vendor = SynchronousVendor(url=server.url)
    given = {"on_masked": view.on_masked, "around": view.around}
    with serving(calibration, vendor, tmp_path / "run", **given) as gateway:
        answer = gateway.post(picture(0))
        assert answer.status_code == 200
