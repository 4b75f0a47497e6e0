"""`inputs --suggest` prints options that are ready to paste, and what proves them."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.command_line import ended
from support.synthetic import photograph

from blackbox_conformal.cli.main import run
from blackbox_conformal.method.degradations.chain import Mixture


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 photographs; 20 others made smaller and saved as JPEG files; and 20 inputs of quite another kind."""
    folder = tmp_path_factory.mktemp("suggest")
    for kind in ("photographs", "inputs", "others"):
        (folder / kind).mkdir()
    chain, stripes = Mixture.of_text("area:2"), np.indices((32, 40))[1] % 2 * 255
    for seed in range(20):
        truth, other = (photograph(place) for place in (seed, seed + 20))
        Image.fromarray(truth).save(folder / "photographs" / f"{seed}.png")
        Image.fromarray(chain.apply(other, 2, seed)).save(folder / "inputs" / f"{seed}.jpg", quality=60)
        striped = np.repeat(np.abs(stripes - seed)[:, :, None], 3, axis=2).astype(np.uint8)
        Image.fromarray(striped).save(folder / "others" / f"{seed}.png")
    return folder


def suggested(folder: Path, kind: str, *more: str) -> int:
    photographs = ["--photographs", str(folder / "photographs"), "--scale", "2"]
    return run(["inputs", str(folder / kind), "--suggest", *photographs, *more])


def test_options_can_be_pasted(folders, capsys):
    assert suggested(folders, "inputs") == 0
    text = capsys.readouterr().out
    assert "traces of JPEG in 100% of the inputs, quality 60;" in text
    assert "None of these pictures was used to find the chain." in text
    words = shlex.split(text.splitlines()[-1])
    assert words[:3] == ["--scale", "2", "--degradation"]
    assert Mixture.of_text(words[3]).at(2).text.endswith("+jpeg:60")
    assert f"10 inputs beside 10 made by {words[3]}" in text


@pytest.mark.slow
def test_document_says_what_still_differs(folders, capsys):
    assert suggested(folders, "others", "--json") == 3
    found = capsys.readouterr()
    document = json.loads(found.out)
    assert document["scale"] == 2
    assert Mixture.of_text(document["degradation"]).at(2)
    assert document["proof"]["differ"] is True
    assert document["proof"]["verdict"] == "your inputs differ from what the chain makes"
    assert "error: after the nearest chain your inputs are" in found.err


def test_what_is_missing_or_too_much_is_named(folders, capsys):
    inputs = str(folders / "inputs")
    assert "give --calibration FILE, or --suggest" in ended(capsys, ["inputs", inputs], 2).err
    assert "give --photographs FOLDER" in ended(capsys, ["inputs", inputs, "--suggest"], 2).err
    assert suggested(folders, "inputs", "--group", "night") == 2
    assert "expected --suggest without --group" in capsys.readouterr().err
