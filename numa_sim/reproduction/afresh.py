"""A run made again in a fresh process of other surroundings: whatever it depends on by mistake is different there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from numa_sim.config.reader import rebuild
from numa_sim.errors import SimulationError
from numa_sim.processes.machine import Machine
from numa_sim.reproduction.again import Reproduction
from numa_sim.reproduction.inputs import locate_inputs
from numa_sim.reproduction.versions import environment_of
from numa_sim.results import Run, open_run, write_run
from numa_sim.results.difference import EVENTS, differences
from numa_sim.results.manifest import MANIFEST

__all__ = ["run_afresh"]

RECORDED_EVENTS: Final = 1_000_000
"""Events looked at to find the first one that differs."""
_HASH_SEEDS: Final = ("77", "4711")
_SURROUNDINGS: Final = {"TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8", "COLUMNS": "57"}


def run_afresh(folder: Path | str) -> Reproduction:
    """Run the run in a folder again in another process: other hash seed, working directory, time zone and locale.

    If what happened differs and the run did not record it, it is run twice more, recording events, to name the first
    one that differs.

    Parameters
    ----------
    folder : path
        Run folder, just written.

    Raises
    ------
    SimulationError
        If the second run fails; the message is that run's.
    """
    run = open_run(folder)
    with tempfile.TemporaryDirectory(prefix="numa-sim-") as temporary:
        place = Path(temporary)
        again = _afresh(run, place / "second")
        found = differences(run, again)
        if run.manifest["event_hash"] != again.manifest["event_hash"] and not found[0].where.startswith("event "):
            recorded = _recorded(run, place / "third")
            events = [d for d in differences(recorded, _afresh(recorded, place / "fourth")) if d.file == EVENTS]
            found = [*events, *found]
        return Reproduction(run, tuple(found))


def _afresh(run: Run, out: Path) -> Run:
    """The run, made again by another Python in other surroundings."""
    assert run.folder is not None
    folder = run.folder.absolute()
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry)
    seed = next(seed for seed in _HASH_SEEDS if seed != os.environ.get("PYTHONHASHSEED"))
    variables = {**os.environ, **_SURROUNDINGS, "PYTHONPATH": path, "PYTHONHASHSEED": seed}
    command = [sys.executable, "-m", "numa_sim", "reproduce", str(folder), "--out", str(out), "--quiet"]
    done = subprocess.run(command, env=variables, cwd=out.parent, capture_output=True, text=True, check=False)
    if not out.is_dir():
        said = done.stderr.strip().splitlines()
        raise SimulationError(f"the second run failed: {said[-1] if said else f'exit code {done.returncode}'}")
    return open_run(out)


def _recorded(run: Run, out: Path) -> Run:
    """The run once more in this process, recording its events."""
    assert run.folder is not None
    config = dict(run.manifest["config"])
    config["run"] = {**config["run"], "record_events": max(RECORDED_EVENTS, config["run"]["record_events"])}
    files = locate_inputs(run, (), environment_of(run).get("config_folder"))
    machine = Machine(rebuild(config, str(run.folder / MANIFEST), files), run.topology)
    return open_run(write_run(machine.run_to_end(), out, picture=False))
