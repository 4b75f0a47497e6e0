"""Draws from a folder: which file is which draw, and clear words where one is missing."""

import json
from pathlib import Path

import pytest
from support.flow_driver import a_draw, drive, upload

from blackbox_adapters.folder import Folder
from blackbox_conformal.errors import NotSentError, UsageError, VendorError
from blackbox_conformal.study.plugins import load_adapter
from blackbox_conformal.vendor.adapter import Upload


def filled(root: Path, *names: str, picture: str = "cat") -> Folder:
    (root / picture).mkdir(parents=True, exist_ok=True)
    for name in names:
        (root / picture / name).write_bytes(name.encode())
    return Folder(path=str(root), label="vendor 1")


def draw(adapter: Folder, index: int, name: str = "cat") -> str:
    sent = Upload(name, "sha256:0", b"", 4, 4)
    return drive(adapter, adapter.draw(sent, a_draw(index)), ()).picture.decode()


def test_draws_come_in_the_order_of_their_numbers_then_of_their_names(tmp_path):
    adapter = filled(tmp_path, "b.png", "10.png", "2.jpg", "a.webp", "007.tif", "01.png")
    assert [draw(adapter, index) for index in range(6)] == ["01.png", "2.jpg", "007.tif", "10.png", "a.webp", "b.png"]


def test_other_files_do_not_count(tmp_path):
    adapter = filled(tmp_path, "1.png", "notes.txt", ".2.png", "Thumbs.db")
    (tmp_path / "cat" / "3.png").mkdir()
    assert draw(adapter, 0) == "1.png"
    with pytest.raises(NotSentError, match="draw 2 of picture 'cat'; its folder holds 1"):
        draw(adapter, 1)


def test_missing_draws_say_how_many_there_are_and_are_never_retried(tmp_path):
    adapter = filled(tmp_path, "1.png", "2.png", "3.png")
    with pytest.raises(
        NotSentError, match=r"draw 8 of picture 'cat'; its folder holds 3\. Add it, or lower --draws"
    ) as e:
        draw(adapter, 7)
    assert e.value.permanent
    with pytest.raises(
        NotSentError, match=r"'dog\.png', with this or another ending, or a folder 'dog' of draws; there is neither$"
    ) as e:
        draw(adapter, 0, "dog")
    assert e.value.permanent


def test_two_files_for_one_draw_are_refused(tmp_path):
    adapter = filled(tmp_path, "1.png", "1.jpg")
    with pytest.raises(NotSentError, match=r"'1.jpg' and '1.png' in 'cat' are both one"):
        draw(adapter, 0)


@pytest.mark.parametrize("name", ["..", ".", "../secret", "/etc", "a/b", "", "cat\0", "cat/"])
def test_no_name_leads_outside_the_folder(tmp_path, name):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "1.png").write_bytes(b"secret")
    adapter = filled(tmp_path / "draws", "1.png")
    with pytest.raises(NotSentError, match="there is neither"):
        draw(adapter, 0, name)


def test_one_picture_of_the_name_is_the_first_draw(tmp_path):
    for name in ("cat.png", "dog.JPG", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    adapter = Folder(path=str(tmp_path), label="vendor 1")
    assert (draw(adapter, 0), draw(adapter, 0, "dog")) == ("cat.png", "dog.JPG")
    with pytest.raises(NotSentError, match=r"draw 2 of picture 'cat'.*lower --draws"):
        draw(adapter, 1)
    with pytest.raises(NotSentError) as e:
        draw(adapter, 0, "owl")
    assert "expected in" in str(e.value)
    assert "'owl.png', with this or another ending, or a folder 'owl' of draws; there is neither" in str(e.value)
    assert "lower --draws" not in str(e.value)
    (tmp_path / "cat.webp").write_bytes(b"")
    with pytest.raises(NotSentError, match="are both one"):
        draw(adapter, 0)
    assert draw(filled(tmp_path, "1.png"), 0) == "1.png", "a folder of draws goes first"


def test_a_suffix_that_all_pictures_have_is_offered(tmp_path):
    for name in ("cat_x4.png", "dog_x4.png"):
        (tmp_path / name).write_bytes(name.encode())
    with pytest.raises(NotSentError, match=r"2 pictures whose names end in '_x4'\. Add -p suffix=_x4$"):
        draw(Folder(path=str(tmp_path), label="vendor 1"), 0)
    adapter = Folder(path=str(tmp_path), label="vendor 1", suffix="_x4")
    assert draw(adapter, 0) == "cat_x4.png"
    assert adapter.identity() == Folder(path=str(tmp_path), label="vendor 1").identity()
    (tmp_path / "owl.png").write_bytes(b"")
    with pytest.raises(NotSentError, match=r"there is neither$"):
        draw(Folder(path=str(tmp_path), label="vendor 1"), 0)


def test_names_match_however_their_accents_are_stored(tmp_path):
    adapter = filled(tmp_path, "1.png", picture="cafe\u0301")
    assert draw(adapter, 0, "caf\u00e9") == "1.png"


def test_a_file_that_cannot_be_read_is_an_error_of_ours(tmp_path):
    adapter = filled(tmp_path)
    (tmp_path / "cat" / "1.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NotSentError, match="its folder holds 0"):
        draw(adapter, 0)
    (tmp_path / "cat" / "1.png").unlink()
    (tmp_path / "cat").rmdir()
    tmp_path.joinpath("cat").write_text("no folder")
    with pytest.raises(NotSentError, match="there is neither"):
        draw(adapter, 0)


def test_a_folder_of_draws_that_cannot_be_listed_is_an_error_of_ours(tmp_path, monkeypatch):
    adapter = filled(tmp_path, "1.png")

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(NotSentError, match="cannot be listed: Permission denied"):
        draw(adapter, 0)


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
