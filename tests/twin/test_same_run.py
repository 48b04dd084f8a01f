"""The same run is the same run: in another process, watched or not, checked or not, compiled or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from indexes import NegativeIndexError, WatchedNumbers, WatchedRecords

from numa_sim.config.model import Config
from numa_sim.observe.hashes import event_hash, state_hash
from numa_sim.processes.machine import Machine
from numa_sim.state.counters import VMSTAT
from numa_sim.state.kernel import Sizes, new_kernel

ROOT = Path(__file__).parents[2]


def tables(pages: int = 2200, accesses: int = 6000) -> dict[str, Any]:
    """Two nodes, three CPUs, five tasks, one with memory policies, more memory wanted than there is, two swap areas."""
    return {
        "machine": {
            "nodes": [{"memory": "7MiB", "cpus": "0,2"}, {"memory": "3MiB", "cpus": "1"}],
            "distances": [[10, 21], [21, 10]],
            "swap": [
                {"device": "zram", "size": "1MiB", "priority": 5},
                {"device": "nvme", "size": "32MiB"},
            ],
            "tlb": {"entries": 16, "ways": 4},
        },
        "kernel": {"time_slice": "50us", "numa_fallback": "nearest"},
        "workload": [
            {
                "name": "worker",
                "count": 4,
                "program": [
                    {"op": "mmap", "as": "heap", "size": f"{pages // 4 * 4096}B"},
                    {
                        "op": "touch",
                        "on": "heap",
                        "pattern": {"kind": "sequential"},
                        "accesses": pages // 4,
                        "write": 1.0,
                    },
                    {
                        "op": "touch",
                        "on": "heap",
                        "pattern": {"kind": "zipf", "s": 0.7},
                        "accesses": accesses // 4,
                        "write": 0.4,
                    },
                    {"op": "sleep", "for": "1ms"},
                ],
            },
            {
                "name": "late",
                "start": "300us",
                "policy": {"mode": "interleave", "nodes": "0-1"},
                "program": [
                    {"op": "mmap", "as": "heap", "size": "1MiB"},
                    {"op": "mbind", "on": "heap", "mode": "bind", "nodes": "1", "length": "512KiB"},
                    {"op": "touch", "on": "heap", "pattern": {"kind": "uniform"}, "accesses": 600, "write": 0.5},
                    {"op": "munmap", "on": "heap"},
                    {"op": "compute", "for": "20us"},
                ],
            },
        ],
    }


def hashes(run: dict[str, Any], **size: int) -> dict[str, Any]:
    machine = Machine(Config.of(**tables(**size), run={"seed": 11, **run}))
    machine.run_to_end()
    k = machine.kernel
    assert int(k.vmstat[:, VMSTAT.index("pswpout")].sum()) > 0, "the run must be short of memory to prove anything"
    return {"events": event_hash(k), "state": state_hash(k), "end_ns": machine.now_ns}


def elsewhere(environment: dict[str, str], first: str = "json", **size: int) -> Any:
    """The hashes, found by a fresh process that imports `first` before all else."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    answer = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import {first}; from twin.test_same_run import *; print(json.dumps(hashes({{}}, **{size})))",
        ],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return hashes({})


@pytest.mark.parametrize(
    "run",
    [
        {"record_events": 1_000_000},
        {"record_events": 10},
        {"timeline": True},
        {"sample": "7us"},
        {"sample": "1s"},
        {"check": "cheap", "sample": "100us"},
        {"until": "100s"},
    ],
)
def test_watching_changes_nothing(run: dict[str, Any], plain: dict[str, Any]) -> None:
    assert hashes(run) == plain


def test_checking_everything_changes_nothing() -> None:
    size = {"pages": 2200, "accesses": 400}
    assert hashes({"check": "full"}, **size) == hashes({}, **size)


def test_another_seed_is_another_run(plain: dict[str, Any]) -> None:
    other = hashes({"seed": 12})
    assert other["events"] != plain["events"]
    assert other["state"] != plain["state"]


@pytest.mark.row("X-01")
@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_fresh_process(hash_seed: str, plain: dict[str, Any]) -> None:
    assert elsewhere({"PYTHONHASHSEED": hash_seed}) == plain


def test_uncompiled() -> None:
    """The rules as plain Python functions do what the compiled ones do, and never index the state with NIL."""
    size = {"pages": 2200, "accesses": 400}
    assert elsewhere({"NUMBA_DISABLE_JIT": "1"}, "indexes", **size) == hashes({}, **size)


def test_a_negative_index_is_refused() -> None:
    """What `test_uncompiled` relies on: reading, writing, records, numbers and single axes."""
    for array in (np.zeros((3, 4), np.int64).view(WatchedNumbers), new_kernel(Sizes(1, 3, 8)).tlb.view(WatchedRecords)):
        assert array[2, 3].tobytes() == array[2][3].tobytes()
        for index in (-1, (0, -1), (np.int16(-1), 0)):
            with pytest.raises(NegativeIndexError):
                array[index]
            with pytest.raises(NegativeIndexError):
                array[index] = array[0, 0]
        with pytest.raises(NegativeIndexError):
            array[0][-1]
