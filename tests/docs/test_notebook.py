"""Every notebook runs from its first cell to its last, and shows what it says."""

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "notebooks"
SHOWN = {
    "first_steps": ("<Machine xeon-platinum-8269cy-2s: 2 nodes, 2 CPUs, 32MiB", "numa_hit", "strict24"),
    "anatomy_of_a_page_fault": (
        "pte names slot 1 of swap area 0",
        "do_swap_page",
        "minor, major faults: (0, 0) -> (1, 0)",
    ),
    "when_does_a_node_spill": ("Fallback order 0 1 2", "least free on node 0", "mean latency, ns"),
    "design_your_own_policy": ("policy 'hoarder' hoards", "segmented is better", "run time of the store, ms"),
    "a_study_with_intervals": ("two disks is better", "times as long with two disks", "second-disk-report.html"),
}
PICTURES = {"first_steps": 1, "when_does_a_node_spill": 2, "a_study_with_intervals": 2}


def test_every_notebook_is_tested():
    assert {file.stem for file in FOLDER.glob("*.py")} == set(SHOWN)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SHOWN)
def test_a_notebook_runs_and_shows(name, monkeypatch):
    jupytext = pytest.importorskip("jupytext")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(filter(None, (str(FOLDER.parents[1]), os.environ.get("PYTHONPATH"))))
    )
    notebook = jupytext.read(FOLDER / f"{name}.py")
    nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(FOLDER)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    texts = [output.get("text", "") for output in outputs]
    texts += [text for output in outputs for form, text in output.get("data", {}).items() if form.startswith("text/")]
    for words in SHOWN[name]:
        assert any(words in text for text in texts), words
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= PICTURES.get(name, 0)
