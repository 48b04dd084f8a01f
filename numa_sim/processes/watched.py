"""``/proc/PID`` of a running machine: which task is meant, and its texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numa_sim.errors import SimulationError
from numa_sim.observe import proc_pid, proc_tree
from numa_sim.state.constants import NIL

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine


def process_named(machine: Machine, who: str) -> proc_pid.Process:
    """The task of this name or number (pid), with the names of the machine's files.

    Raises
    ------
    SimulationError
        If there is no such task.
    """
    files = {mapping: name for name, mapping in machine.file_mappings.items()}
    for task in machine.tasks:
        if who in (task.name, str(task.record.pid)):
            return proc_pid.Process(task.index, task.name, files)
    known = ", ".join(f"{task.name} ({task.record.pid})" for task in machine.tasks) or "none"
    raise SimulationError(f"there is no task {who!r}; there are: {known}")


def process_texts(machine: Machine) -> dict[str, str]:
    """Every text of every task that has memory now, by ``PID/name``."""
    return {
        f"{task.record.pid}/{name}": text(machine.kernel, process_named(machine, str(task.record.pid)))
        for task in machine.tasks
        if task.record.mm != NIL
        for name, text in proc_pid.FILES.items()
    }


def proc_files(machine: Machine) -> dict[str, str]:
    """What tools of today read in ``/proc`` and ``/sys``, by path without the leading slash; see `proc_tree`."""
    alive = [process_named(machine, str(task.record.pid)) for task in machine.tasks if task.process.is_alive]
    started = [process for process in alive if machine.kernel.tasks[process.task].mm != NIL]
    return proc_tree.machine_files(
        machine.kernel, machine.topology, started, len(machine.tasks), machine.swap.names_by_index()
    )
