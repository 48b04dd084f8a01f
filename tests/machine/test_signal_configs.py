"""Signals and limits as a configuration file writes them."""

from __future__ import annotations

from typing import Any

import pytest

from numa_sim.config.model import Config
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import RLIM_INFINITY, SIGSEGV

MACHINE: dict[str, Any] = {"nodes": [{"memory": "4MiB", "cpus": "0-1"}], "distances": [[10]]}
TOUCH = {"op": "touch", "on": "gone", "pattern": {"kind": "sequential"}, "accesses": 1, "write": 1.0}
CRASH = [
    {"op": "mmap", "as": "gone", "size": "4KiB", "at": "0x5000000"},
    {"op": "munmap", "on": "gone", "length": "1B"},
]


def ran(*workloads: dict[str, Any]) -> Machine:
    machine = Machine(Config.of(machine=MACHINE, workload=list(workloads)))
    machine.run_to_end()
    return machine


@pytest.mark.row("X-10")
def test_limits_of_a_workload_reach_its_tasks() -> None:
    limits = {"stack": "1MiB", "as": "64MiB", "core": "unlimited"}
    machine = ran({"name": "it", "limits": limits, "program": [*CRASH, TOUCH]})
    task = machine.kernel.tasks[2]
    assert [int(task[f"rlim_{name}"]) for name in ("stack", "data", "as", "core")] == [
        1 << 20, RLIM_INFINITY, 64 << 20, RLIM_INFINITY,
    ]  # fmt: skip
    assert int(task.exit_code) == SIGSEGV | 0x80
    assert len(machine.cores) == 1


def test_a_handler_in_a_file_mends_the_fault() -> None:
    mend = {"op": "mmap", "as": "new", "size": "4KiB", "at": "0x5000000"}
    handler = {"op": "signal", "signal": "SIGSEGV", "program": [mend]}
    machine = ran({"name": "it", "program": [handler, *CRASH, TOUCH]})
    assert machine.tasks[0].outcome == "exited"
    assert int(machine.kernel.tasks[2].accesses_done) == 1


def test_tasks_send_each_other_signals() -> None:
    sleeper = {"name": "sleeper", "count": 2, "program": [{"op": "sleep", "for": "1h"}]}
    tough = {"name": "tough", "program": [
        {"op": "signal", "signal": "SIGTERM", "action": "ignore"}, {"op": "compute", "for": "1ms"},
    ]}  # fmt: skip
    names = ("sleeper-0", "sleeper-1", "tough")
    killer = {"name": "killer", "start": "100us", "program": [{"op": "kill", "task": name} for name in names]}
    machine = ran(sleeper, tough, killer)
    assert [task.outcome for task in machine.tasks] == ["killed by SIGTERM", "killed by SIGTERM", "exited", "exited"]
    assert machine.now_ns < 1_000_000_000


def test_setrlimit_and_prctl_in_a_file() -> None:
    def crash(*before: dict[str, Any]) -> Machine:
        unlimited = {"op": "setrlimit", "resource": "core", "limit": "unlimited"}
        return ran({"name": "it", "program": [unlimited, *before, *CRASH, TOUCH]})

    assert len(crash().cores) == 1
    assert crash({"op": "prctl", "dumpable": False}).cores == []
