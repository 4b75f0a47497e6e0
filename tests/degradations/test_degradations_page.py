"""The page names every step and preset, and what it gives to type can be typed."""

import re
from pathlib import Path

import pytest

import blackbox_conformal
from blackbox_conformal.method.degradations.chain import Mixture
from blackbox_conformal.support import catalog

PAGE = (Path(blackbox_conformal.__file__).parent / "docs" / "degradations.md").read_text(encoding="utf-8")
STEP = "|".join(catalog.names("degradations"))
TYPED = sorted(
    {
        text.strip("'").replace("\\|", "|")
        for text in re.findall(r"`([^`\n]+)`", PAGE)
        if re.fullmatch(rf"'?(\d+% )?({STEP})([:+|, ].*)?'?", text)
    }
    - {"rescale"}
)


@pytest.mark.parametrize("name", catalog.names("degradations"))
def test_every_step_and_preset_has_a_row(name):
    assert re.search(rf"^\|[^|]*`{name}`[^\n]*\|", PAGE, re.M)


def test_there_are_chains_on_the_page():
    assert "blur:1.5+bicubic:2+jpeg:60-95" in TYPED
    assert "70% phone | 30% web" in TYPED


@pytest.mark.parametrize("text", TYPED)
def test_what_the_page_gives_to_type_is_a_degradation(text):
    assert Mixture.of_text({"blur": "blur:1", "noise": "noise:1"}.get(text, text)).chains
