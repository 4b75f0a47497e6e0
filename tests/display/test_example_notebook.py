"""The example notebook runs from its first cell to its last, and shows what its text says."""

from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.filterwarnings("default")
def test_every_cell_runs_and_shows_itself(tmp_path: Path) -> None:
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


def progress_of(output: Any) -> list[str]:
    """The lines of bars that an output ended with; none of another output."""
    return output.data["text/plain"].splitlines() if "<progress" in output.data.get("text/html", "") else []
