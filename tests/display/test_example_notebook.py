"""The example notebook runs from its first cell to its last, and shows what its text says."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from blackbox_conformal.errors import MissingPackageError

ROOT = Path(__file__).parents[2]


@pytest.mark.filterwarnings("default")
def test_every_cell_runs_and_shows_itself(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    for package in ("ipykernel", "pandas"):
        pytest.importorskip(package)
    notebook = nbformat.read(ROOT / "examples" / "notebook.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells), "store it without outputs"
    # The first cell that raises ends it, and is an error here.
    nbclient.NotebookClient(notebook, timeout=250, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in cells for output in cell.outputs]
    assert [output for output in outputs if output.output_type in ("error", "stream")] == []
    shown = [output.data.get("text/html", "") for output in outputs]
    for words in ("Plan for", "Calibration of the embedded vendor", "cat: ", "Audit of 8 photographs"):
        assert any(words in card and "<svg" in card for card in shown), words
    assert sum('class="dataframe"' in table for table in shown) == 2
    bars = [line for output in outputs for line in progress_of(output)]
    assert {"drawing: 12 of 12", "calibrating: 12 of 12", "masking: 1 of 1", "auditing: 8 of 8"} <= set(bars)
    assert {path.name for path in tmp_path.iterdir()} == {"runs", "calibration.json", "audit.svg"}


def test_without_pandas_only_the_tables_at_its_end_stop_and_name_the_cure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "pandas", None)
    cells = json.loads((ROOT / "examples" / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    (end,) = [place for place, (kind, text) in enumerate(texts) if kind == "markdown" and text.startswith("## Tables")]
    assert "pip install pandas" in texts[end][1]
    names: dict[str, Any] = {}
    for _, text in [each for each in texts[:end] if each[0] == "code"]:
        exec(text, names)
    for _, text in texts[end + 1 :]:
        with pytest.raises(MissingPackageError, match="pip install pandas"):
            exec(text, names)


def progress_of(output: Any) -> list[str]:
    """The lines of bars that an output ended with; none of another output."""
    return output.data["text/plain"].splitlines() if "<progress" in output.data.get("text/html", "") else []
