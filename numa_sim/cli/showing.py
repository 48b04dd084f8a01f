"""``numa-sim show`` and ``numa-sim presets``: text about a machine or a configuration."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from numa_sim.errors import ConfigError
from numa_sim.units import PAGE_BYTES, format_ns, parse_ns

if TYPE_CHECKING:
    from numa_sim.config.model import Config
    from numa_sim.processes.machine import Machine


@dataclass(frozen=True)
class Moment:
    """When to look, ns (0: after boot), and at which task; how many pages to draw, and where to; which address."""

    at_ns: int = 0
    task: str | None = None
    pages: int = 12
    output: Path | None = None
    address: int | None = None

    @classmethod
    def of(
        cls, at: str | None, task: str | None, pages: int, output: Path | None, address: str | None = None
    ) -> Moment:
        """From the options ``--at``, ``--task``, ``--pages``, ``--out`` and ``--address``."""
        if output is not None and output.suffix not in PICTURES:
            raise ConfigError("--out", "", f"{output.name} is no picture", PICTURES)
        try:
            at_ns = parse_ns(at) if at is not None else 0
        except ValueError as error:
            raise ConfigError("--at", "", str(error)) from error
        try:
            return cls(at_ns, task, pages, output, int(address, 0) if address is not None else None)
        except ValueError as error:
            raise ConfigError("--address", "", f"{address!r} is not a number", ("like 0x40000000",)) from error


PICTURES = (".png", ".svg", ".pdf")
_OF_A_TASK = ("maps", "smaps", "numa_maps", "status", "statm")
AFTER_BOOT = Moment()
_MACHINE = "machine"


def view_text(view: str, file: Path | None, settings: Iterable[str], moment: Moment = AFTER_BOOT) -> str:
    """Text of one view, ending in a newline.

    Raises
    ------
    NumaSimError
        For whatever is wrong with the configuration.
    """
    if view == "schema":
        return _schema_text(file)
    if file is None:
        raise ConfigError(f"show {view}", "", "needs a configuration", ("a file *.toml or *.json",))
    from numa_sim.config.reader import load

    config = load(file, settings)
    if view == "config":
        return json.dumps(config.resolved(), indent=2) + "\n"
    if view == "disks":
        return disks_text(config)
    if view in ("topology", "levels"):
        from numa_sim.cli.levels import levels_text
        from numa_sim.config.resolve import topology_of
        from numa_sim.topology import describe, to_numactl

        topology = topology_of(config)
        if view == "levels":
            return levels_text(config, topology)
        return _ended(describe(topology)) + _ended(to_numactl(topology))
    from numa_sim.processes.machine import Machine

    machine = Machine(config)
    machine.run_until(moment.at_ns)
    if view == "graph":
        return _graph_text(machine, moment)
    if view == "walk":
        return walk_text(machine, moment)
    return machine.procfs(f"{_watched(machine, moment)}/{view}" if view in _OF_A_TASK else view)


def _schema_text(of: Path | None) -> str:
    """JSON Schema of configurations, or of machines' files if ``machine`` stands where a configuration would."""
    from numa_sim.config.schema import json_schema
    from numa_sim.topology.schema import machine_schema

    if of is not None and str(of) != _MACHINE:
        raise ConfigError(
            "show schema", "", f"there is no schema of {str(of)!r}", (_MACHINE, "nothing: configurations")
        )
    return json.dumps(json_schema() if of is None else machine_schema(), indent=2) + "\n"


def _graph_text(machine: Machine, moment: Moment) -> str:
    """The object graph of a task: its arrows, one a line; or the name of the picture that has just been written."""
    from numa_sim.observe.object_graph import object_graph
    from numa_sim.processes.watched import process_named

    process = process_named(machine, _watched(machine, moment))
    graph = object_graph(machine.kernel, process, moment.pages)
    if moment.output is None:
        names = {node: graph.nodes[node]["label"].replace("\n", " ") for node in graph.nodes}
        return "".join(f"{names[a]}  --{relation}-->  {names[b]}\n" for a, b, relation in graph.edges(data="relation"))
    from numa_sim.results.pictures import object_graph as picture
    from numa_sim.results.pictures.figure import save

    save(picture.plot(graph, title=f"{process.name} at {format_ns(moment.at_ns)}"), moment.output)
    return f"{moment.output}: written\n"


def _watched(machine: Machine, moment: Moment) -> str:
    """Number of the task to look at: the one that was named, or the only one; it must have memory by then."""
    known = tuple(task.name for task in machine.tasks)
    if moment.task is None and len(known) != 1:
        raise ConfigError("--task", "", "needs the name of a task", known)
    chosen = [task for task in machine.tasks if moment.task in (None, task.name, str(task.record.pid))]
    if not chosen:
        raise ConfigError("--task", "", f"there is no task {moment.task!r}", known)
    if chosen[0].record.mm < 0:
        now = format_ns(moment.at_ns)
        raise ConfigError("--at", "", f"task {chosen[0].name} has no memory at {now}: not started yet, or ended")
    return str(chosen[0].record.pid)


def walk_text(machine: Machine, moment: Moment) -> str:
    """How an address of a task is translated at this moment, level by level."""
    from numa_sim.kernel.geometry import geometry_of
    from numa_sim.observe.walk import walk

    pid = int(_watched(machine, moment))
    bits = geometry_of(machine.kernel).address_bits
    if moment.address is None or not 0 <= moment.address < 1 << bits:
        raise ConfigError("--address", "", "needs an address", (f"0x0 to {(1 << bits) - 1:#x}",))
    task = next(task for task in machine.tasks if task.record.pid == pid)
    return _ended(str(walk(machine.kernel, int(task.record.mm), moment.address)))


def event_lines(folder: Path, names: Sequence[str], task: str | None) -> Iterator[str]:
    """Lines of ``numa-sim events``.

    Raises
    ------
    RunFolderError
        If there is no such run folder, or no events were recorded.
    ConfigError
        If there is no event or task of a name.
    """
    from numa_sim.results import open_run
    from numa_sim.results.event_lines import ftrace_lines

    yield from ftrace_lines(open_run(folder), names, task)


def disks_text(config: Config) -> str:
    """Disk by disk what lies on it: swap areas, then files, with their blocks of 4 KiB."""
    from numa_sim.results.readable import readable_bytes

    machine = config.machine
    placing = machine.placing()
    names = [f"swap {name}" for name in machine.swap_names()] + [f"file {file.name}" for file in machine.file]
    lines = []
    for number, drive in enumerate(placing.drives):
        lines.append(f"{drive.name}: {drive.model.device}, {readable_bytes(drive.blocks * PAGE_BYTES)}")
        for name, place in zip(names, (*placing.swap, *placing.files), strict=True):
            if place.disk == number:
                blocks = f"blocks {place.block} to {place.block + place.blocks - 1}" if place.blocks else "no blocks"
                lines.append(f"  {name}: {blocks}, {readable_bytes(place.blocks * PAGE_BYTES)}")
    return _ended("\n".join(lines) or "no disks")


def preset_text(name: str | None) -> str:
    """One line per preset, or the description of the one named."""
    from numa_sim.topology import describe, preset, preset_names, preset_tags

    if name is not None:
        return _ended(describe(preset(name)))
    names = preset_names()
    width = max((len(each) for each in names), default=0)
    return "".join(f"{each:<{width}}  {', '.join(preset_tags(each))}\n" for each in names)


def _ended(text: str) -> str:
    return text if text.endswith("\n") else text + "\n"
