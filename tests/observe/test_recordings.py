"""What is recorded only on request: it says what the machine's state says, and changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from machine.small import NVME, small, sweep

from numa_sim.errors import RunFolderError
from numa_sim.observe.hashes import event_hash, state_hash
from numa_sim.observe.watermarks import watermark_rows
from numa_sim.processes.machine import Machine
from numa_sim.results import Run, open_run, verify_run, write_run
from numa_sim.state.constants import MAX_ORDER

KERNELS = ("linux-2.2", "linux-2.4.0", "linux-2.4.37")


def pressed(profile: str = "linux-2.4.37", **run: Any) -> Machine:
    """A machine of two nodes on which a task needs more than there is."""
    made = small(nodes=(4, 4), swap=(NVME,), kernel={"profile": profile}, run={"sample": "200us", **run})
    made.add(sweep(2500), cpus=[0])
    return made


@pytest.mark.parametrize("profile", KERNELS)
def test_the_free_blocks_of_every_sample_are_the_free_pages(profile: str) -> None:
    result = pressed(profile, observe=["buddy"]).run_to_end()
    run = Run.of(result)
    buddy, nodes = run.to_pandas("buddy_series"), run.to_pandas()
    pages = (buddy.free_blocks * 2**buddy.order).groupby([buddy.t_ns, buddy.node]).sum()
    free = nodes.set_index(["t_ns", "node"]).free_pages
    assert len(free) > 10
    assert (pages == free).all()
    assert set(buddy.order) == set(range(MAX_ORDER))
    assert pages.nunique() > 3, "something happened"


@pytest.mark.parametrize("profile", KERNELS)
def test_recording_does_not_disturb(profile: str) -> None:
    """R4: event and state hash are the same whatever is observed."""
    runs = [pressed(profile, **run).run_to_end() for run in ({}, {"observe": ["buddy"]}, {"fault_latency": True})]
    assert len({event_hash(result.kernel) for result in runs}) == 1
    plain, with_buddy, _ = (state_hash(result.kernel) for result in runs)
    assert plain == with_buddy


def test_recordings_are_in_the_run_folder_when_asked_for(tmp_path: Path) -> None:
    result = pressed(observe=["buddy"], fault_latency=True).run_to_end()
    folder = write_run(result, tmp_path / "run", picture=False)
    assert verify_run(folder) == []
    run, fresh = open_run(folder), Run.of(result)
    assert run.buddy_series.equals(fresh.buddy_series, check_metadata=True)
    assert run.fault_histogram.equals(fresh.fault_histogram, check_metadata=True)
    counts = run.to_pandas("fault_histogram").groupby("kind")["count"].sum()
    said = {row["kind"]: row["count"] for row in run.summary["faults"]}
    assert counts.to_dict() == said
    units = {field.name: field.metadata[b"unit"].decode() for field in run.fault_histogram.schema}
    assert units["low_ns"] == "ns"


def test_what_was_not_recorded_says_how_to_record_it(tmp_path: Path) -> None:
    result = pressed().run_to_end()
    folder = write_run(result, tmp_path / "run", picture=False)
    assert not (folder / "timeseries-buddy.parquet").exists()
    for run in (Run.of(result), open_run(folder)):
        with pytest.raises(RunFolderError, match=r'record it with run\.observe = \["buddy"\]'):
            _ = run.buddy_series
        with pytest.raises(RunFolderError, match=r"record it with run\.fault_latency = true"):
            _ = run.fault_histogram


def test_watermarks_are_those_of_zoneinfo() -> None:
    machine = pressed()
    rows = watermark_rows(machine.kernel)
    words = machine.procfs("zoneinfo").split()
    for mark in ("min", "low", "high"):
        said = [int(words[i + 1]) for i, word in enumerate(words) if word == mark]
        assert said == [row[mark] for row in rows]
    assert {row["node"] for row in rows} == {0, 1}


def test_linux_2_2_has_one_set_of_marks() -> None:
    (row,) = watermark_rows(pressed("linux-2.2").kernel)
    assert (row["node"], row["low"], row["high"]) == (-1, 2 * row["min"], 3 * row["min"])
    assert np.all(row["min"] > 0)
