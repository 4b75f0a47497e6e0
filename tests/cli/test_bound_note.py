"""`calibrate` says when a bound from input and delivered colours is known and not used."""

import pytest
from support.synthetic import write_draws, write_photographs

from blackbox_conformal.cli.main import run

NOTE = "only for inputs made exactly by bicubic:4: with --guarantee expected:bound_from=input each mask takes a bound"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("bound")
    write_draws(path / "outputs", range(12), 2)
    write_photographs(path / "known", range(12))
    return path


def calibrate(folder, *more):
    vendor = ["--adapter", "folder", "-p", "label=synthetic", "-p", f"path={folder / 'outputs'}", "--draws", "1"]
    where = ["--score", "texture", "--run", str(folder / "run"), "--force", "--json"]
    return run(["calibrate", str(folder / "known"), *vendor, *where, *more])


def test_it_is_said_where_the_metric_and_the_inputs_allow_it(folder, capsys):
    assert calibrate(folder) == 0
    assert NOTE in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [
        ["--guarantee", "expected:bound_from=input"],
        ["--guarantee", "per-image"],
        ["--metric", "rgb-linf:sigma=2"],
        ["--metric", "lab-l1"],
    ],
)
def test_it_is_not_said_where_it_is_used_or_not_known(folder, capsys, more):
    assert calibrate(folder, *more) == 0
    assert NOTE not in capsys.readouterr().err
