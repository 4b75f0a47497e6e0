"""A link with a key is opened by a file that only its user can read."""

import time

from blackbox_conformal.pages.viewer.view_command import browser


def test_the_link_is_in_a_private_file_and_in_no_words_of_a_program(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    asked = []
    monkeypatch.setattr("webbrowser.open", asked.append)
    with browser() as shown_by:
        shown_by.open("http://127.0.0.1:1/secret/?a=1&b")
        (path,) = tmp_path.glob("*/open-*.html")
        assert path.stat().st_mode & 0o077 == 0
        assert "url=http://127.0.0.1:1/secret/?a=1&amp;b" in path.read_text()
        for _ in range(200):
            if asked:
                break
            time.sleep(0.01)
        assert asked == [path.as_uri()]
        assert "secret" not in asked[0]
    assert not path.exists()


def test_nothing_is_opened_where_no_folder_is_private(tmp_path, monkeypatch):
    (tmp_path / "blackbox-conformal").mkdir()
    (tmp_path / "blackbox-conformal").chmod(0o777)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("webbrowser.open", lambda _: 1 / 0)
    with browser() as shown_by:
        shown_by.open("http://127.0.0.1:1/secret/")
    assert not list(tmp_path.glob("*/open-*"))
