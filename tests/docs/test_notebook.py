"""The notebook runs from its first cell to its last, and shows what it says."""

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "experiments" / "notebooks" / "first_steps.py"


@pytest.mark.filterwarnings("ignore")
def test_first_steps():
    jupytext = pytest.importorskip("jupytext")
    nbclient = pytest.importorskip("nbclient")
    notebook = jupytext.read(NOTEBOOK)
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [output for cell in cells for output in cell.outputs if output.output_type == "execute_result"]
    assert any("<Machine xeon-platinum-8269cy-2s: 2 nodes, 2 CPUs, 32MiB" in o.data["text/plain"] for o in shown)
    assert any("numa_hit" in o.data.get("text/html", "") for o in shown)
    assert any("image/png" in o.data for o in shown)
    assert any("strict24" in o.data["text/plain"] for o in shown)
