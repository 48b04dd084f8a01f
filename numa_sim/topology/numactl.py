"""Text of ``numactl -H`` (numactl 2.0): reading and printing it."""

import re
from pathlib import Path
from typing import Final, NoReturn

from numa_sim.errors import TopologyError
from numa_sim.topology.build import build_topology, numbered_densely
from numa_sim.topology.cpulist import MAX_NUMBER, format_list, parse_list
from numa_sim.topology.files import read_text
from numa_sim.topology.model import Topology

_AVAILABLE: Final = re.compile(r"available: ([0-9]+) nodes? \(([-0-9,]+)\)", re.ASCII)
_NODE: Final = re.compile(r"node ([0-9]{1,7}) (cpus|size|free):(.*)", re.ASCII)
_SIZE: Final = re.compile(r"([0-9]{1,12}) MB", re.ASCII)
_HEADER: Final = re.compile(r"node((?:\s+[0-9]{1,7})+)", re.ASCII)
_ROW: Final = re.compile(r"([0-9]{1,7}):((?:\s+[0-9]{1,7})*)", re.ASCII)


class _Reader:
    """One pass over the lines; keeps what was seen so that every error can name its line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 0
        self.announced: tuple[int, ...] | None = None
        self.cpus: dict[int, tuple[int, ...]] = {}
        self.memory_bytes: dict[int, int] = {}
        self.free_seen: set[int] = set()
        self.columns: tuple[int, ...] | None = None
        self.rows: dict[int, tuple[int, ...]] = {}
        self.in_distances = False

    def refuse(self, message: str) -> NoReturn:
        raise TopologyError(self.path, f"line {self.line}", message)

    def take(self, text: str) -> None:
        """Read one line that is not blank."""
        if match := _AVAILABLE.fullmatch(text):
            self._take_available(int(match[1]), match[2])
        elif text == "node distances:":
            if self.in_distances:
                self.refuse("a second 'node distances:'")
            self.in_distances = True
        elif self.in_distances and (match := _HEADER.fullmatch(text)):
            if self.columns is not None:
                self.refuse("a second head line of the distance table")
            self.columns = tuple(int(word) for word in match[1].split())
            if len(set(self.columns)) != len(self.columns):
                self.refuse("the distance table names a node twice")
        elif self.in_distances and (match := _ROW.fullmatch(text)):
            self._take_row(int(match[1]), tuple(int(word) for word in match[2].split()))
        elif match := _NODE.fullmatch(text):
            self._take_node(int(match[1]), match[2], match[3].strip())
        elif text.startswith("No distance information available"):
            self.refuse("the machine printed no distances; they are needed")
        else:
            self.refuse(f"not a line of 'numactl -H': {text[:60]!r}")

    def _take_available(self, count: int, listed: str) -> None:
        if self.announced is not None:
            self.refuse("a second 'available:' line")
        try:
            self.announced = parse_list(listed)
        except ValueError as error:
            self.refuse(str(error))
        if len(self.announced) != count:
            self.refuse(f"says {count} nodes but lists {len(self.announced)}")

    def _take_node(self, node: int, what: str, value: str) -> None:
        if self.announced is None:
            self.refuse("'available: N nodes (...)' must come first")
        if node not in self.announced:
            self.refuse(f"node {node} is not among the available nodes {format_list(self.announced)}")
        if (what == "cpus" and node in self.cpus) or (what == "size" and node in self.memory_bytes):
            self.refuse(f"node {node} {what} is given twice")
        if what == "cpus":
            self.cpus[node] = self._cpu_numbers(value)
            return
        match = _SIZE.fullmatch(value)
        if match is None:
            self.refuse(f"node {node} {what} must be '<number> MB', got {value[:40]!r}")
        if what == "size":
            self.memory_bytes[node] = int(match[1]) << 20

    def _cpu_numbers(self, value: str) -> tuple[int, ...]:
        numbers: list[int] = []
        for word in value.split():
            if not (word.isascii() and word.isdigit()) or len(word) > 7 or int(word) >= MAX_NUMBER:
                self.refuse(f"{word[:40]!r} is not a CPU number")
            numbers.append(int(word))
        for cpu in sorted(numbers):
            if numbers.count(cpu) > 1:
                self.refuse(f"CPU {cpu} is named twice")
            for other, theirs in self.cpus.items():
                if cpu in theirs:
                    self.refuse(f"CPU {cpu} also belongs to node {other}")
        return tuple(sorted(numbers))

    def _take_row(self, node: int, values: tuple[int, ...]) -> None:
        if self.columns is None:
            self.refuse("a row of distances before the head line of the table")
        if node in self.rows:
            self.refuse(f"a second row of distances for node {node}")
        if node not in self.columns:
            self.refuse(f"node {node} is not in the head line of the table")
        if len(values) != len(self.columns):
            self.refuse(f"{len(values)} distances for {len(self.columns)} nodes")
        for other, value in zip(self.columns, values, strict=True):
            if other == node and value != 10:
                self.refuse(f"node {node}'s distance to itself must be 10, got {value}")
            if other != node and not 10 < value <= 255:
                self.refuse(f"the distance from node {node} to node {other} must be 11 to 255, got {value}")
        self.rows[node] = values

    def finish(self) -> Topology:
        """Check that nothing is missing and build the machine."""
        if self.announced is None:
            raise TopologyError(self.path, "", "no 'available: N nodes (...)' line: not the output of 'numactl -H'")
        for node in self.announced:
            for what, seen in (("cpus", self.cpus), ("size", self.memory_bytes)):
                if node not in seen:
                    raise TopologyError(self.path, f"node {node}", f"no 'node {node} {what}:' line")
        if self.columns is None:
            raise TopologyError(self.path, "", "no 'node distances:' table")
        if sorted(self.columns) != list(self.announced):
            raise TopologyError(self.path, "distances", "the table's nodes are not the available nodes")
        if missing := sorted(set(self.announced) - set(self.rows)):
            raise TopologyError(self.path, "distances", f"no row for node {missing[0]}")
        order = sorted(self.columns)
        place = [self.columns.index(node) for node in order]
        nodes, notes = numbered_densely(self.memory_bytes, self.cpus)
        return build_topology(
            self.path.stem,
            str(self.path),
            nodes,
            [[self.rows[node][j] for j in place] for node in order],
            title=f"numactl -H: {self.path.name}",
            notes=notes,
        )


def read(path: str | Path) -> Topology:
    """Read a machine from a file with the output of ``numactl -H``.

    Latency, bandwidth and links are not in it: they are derived or assumed and say so (`build_topology`).  The lines
    ``node N free`` are checked and ignored.

    Raises
    ------
    TopologyError
        The file cannot be read, or is not such a text; names the line.
    """
    reader = _Reader(Path(path))
    for line, text in enumerate(read_text(reader.path).splitlines(), 1):
        reader.line = line
        if text.strip():
            reader.take(text.strip())
    return reader.finish()


def to_numactl(topology: Topology) -> str:
    """Print a machine as ``numactl -H`` does (numactl 2.0), with the machine's own node numbers.

    A description has nothing allocated, so free memory equals its size.  Sizes are whole MB (MiB), rounded down.
    """
    ids = [node.os_id for node in topology.nodes]
    lines = [f"available: {len(ids)} nodes ({format_list(ids)})"]
    for node in topology.nodes:
        cpus = "".join(f" {cpu}" for cpu in node.cpus)
        size = node.memory_bytes >> 20
        lines += [f"node {node.os_id} cpus:{cpus}", f"node {node.os_id} size: {size} MB"]
        lines += [f"node {node.os_id} free: {size} MB"]
    lines += ["node distances:", "node " + " ".join(f"{i:3d}" for i in ids)]
    for node, row in zip(topology.nodes, topology.distance, strict=True):
        lines.append(f"{node.os_id:3d}: " + " ".join(f"{value:3d}" for value in row))
    return "\n".join(lines) + "\n"
