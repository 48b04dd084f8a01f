"""What a finished run hands on: everything reports, run folders and pictures are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from numa_sim.kernel.coredump import CoreDump
from numa_sim.observe.access_map import AccessMap
from numa_sim.observe.sampler import TimeSeries
from numa_sim.observe.timeline.spans import Timeline
from numa_sim.state.kernel import Kernel
from numa_sim.topology import Topology
from numa_sim.units import format_ns

__all__ = ["MODEL_VERSION", "Disk", "InputFile", "RunResult", "Snapshot", "SwapArea", "TaskRow"]

MODEL_VERSION: Final = "4"
"""Grows whenever the same configuration and seed give other results than before."""

ExitState = Literal["ok", "oom", "until"]


@dataclass(frozen=True)
class TaskRow:
    """A user task: its name, its index in ``Kernel.tasks``, and the kind of program it ran."""

    name: str
    task: int
    kind: str = ""


@dataclass(frozen=True)
class SwapArea:
    """A swap area, in the order of swapon: its name and the device model behind it."""

    name: str
    device: str = ""


@dataclass(frozen=True)
class Disk:
    """A disk, in the order of ``Kernel.disks``: its name and the device model it is."""

    name: str
    device: str = ""


@dataclass(frozen=True)
class InputFile:
    """A file the run read: its name (without folders), size in bytes and SHA-256 (hex).

    `file` is the name the configuration has for it, `content` what the run folder shall keep of it.
    """

    name: str
    size_bytes: int
    sha256: str
    file: str = ""
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Snapshot:
    """Texts of ``/proc`` at one simulated time, ns; see `numa_sim.observe.procfs.texts`."""

    t_ns: int
    texts: Mapping[str, str]


@dataclass(frozen=True)
class RunResult:
    """A finished run, in memory.

    Parameters
    ----------
    config : mapping
        The resolved configuration, of JSON types.
    config_sha256 : str
        Its SHA-256, hex.
    seed : int
        Root seed.
    kernel : Kernel
        The machine's state at the end.
    tasks : tuple of TaskRow
        User tasks.
    timeseries : TimeSeries
        Samples.
    end_ns : int
        Simulated time of the end, ns.
    exit_state : {"ok", "oom", "until"}
        All tasks exited; at least one was killed for lack of memory; the time limit came first.
    machine_name, node_names, swap_areas, disks
        What to call things in reports; nodes without a name are called by their number.
    warnings : tuple of str
        What the user should know about this run.
    inputs : tuple of InputFile
        Files read, other than the configuration.
    wall_seconds : float
        Host time the run took, s.
    check_level : str
        How thoroughly invariants were checked.
    snapshots : tuple of Snapshot
        Texts of ``/proc`` taken on the way, in order of time.
    cores : tuple of CoreDump
        What crashed tasks' core files hold, in order of time; `numa_sim.observe.elf_core` makes the files.
    access_map : AccessMap or None
        Accesses by time and address, if ``run.observe`` asked for them.
    timeline : Timeline or None
        Who did what when, with ``run.timeline``.
    topology : Topology, optional
        The machine as it was simulated.
    beyond_config : tuple of str
        What the run had that its configuration does not say: programs and policies given in Python.
    base : Path, optional
        Folder that file names of the configuration are relative to.
    started_unix_s : float
        Host time when it began, s since 1970.
    """

    config: Mapping[str, Any]
    config_sha256: str
    seed: int
    kernel: Kernel
    tasks: tuple[TaskRow, ...]
    timeseries: TimeSeries
    end_ns: int
    exit_state: ExitState
    machine_name: str = ""
    node_names: tuple[str, ...] = ()
    swap_areas: tuple[SwapArea, ...] = ()
    disks: tuple[Disk, ...] = ()
    warnings: tuple[str, ...] = ()
    inputs: tuple[InputFile, ...] = ()
    wall_seconds: float = 0.0
    check_level: str = "off"
    snapshots: tuple[Snapshot, ...] = ()
    cores: tuple[CoreDump, ...] = ()
    access_map: AccessMap | None = None
    timeline: Timeline | None = None
    model_version: str = MODEL_VERSION
    topology: Topology | None = None
    beyond_config: tuple[str, ...] = ()
    base: Path | None = None
    started_unix_s: float = 0.0

    def __repr__(self) -> str:
        """Say how it ended; the arrays would fill pages.  `Run.of` shows what happened."""
        name = self.machine_name or "machine"
        return f"<RunResult {name}: {self.exit_state!r} after {format_ns(self.end_ns)}, {len(self.tasks)} tasks>"
