"""Presets: real machines in TOML files, and the table form shared with machines written inline in a configuration.

A table has ``name``, ``source``, ``nodes`` (``memory``, ``cpus``, optional ``os_id``) and ``distances``; optional are
``title``, ``tags``, ``assumed`` (what the source does not say), ``notes``, and the tables ``latency``, ``bandwidth``,
``links`` and ``curve``, each with a ``source`` of its own.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NoReturn

from numa_sim.errors import TopologyError
from numa_sim.topology.build import build_topology, derived_links
from numa_sim.topology.cpulist import parse_list
from numa_sim.topology.files import read_text
from numa_sim.topology.model import Curve, Link, Node, Topology
from numa_sim.topology.schema import keys_of
from numa_sim.units import format_bandwidth, parse_bandwidth, parse_bytes

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_FOLDERS: Final = (_PACKAGE / "configs" / "machines", _PACKAGE.parent / "configs" / "machines")
"""Where presets are: inside an installed package, else in the checkout."""


class _Table:
    """A TOML table that refuses what it does not know and names the place of everything it refuses."""

    def __init__(self, values: object, source: str, where: str, known: Iterable[str]) -> None:
        self.source = source
        self.where = where
        known = tuple(known)
        if not isinstance(values, Mapping):
            self.refuse("", f"must be a table with {', '.join(known)}")
        self.values: Mapping[str, Any] = values
        for key in values:
            if key not in known:
                self.refuse(str(key), f"unknown key (allowed: {', '.join(known)})")

    def refuse(self, key: str, message: str) -> NoReturn:
        raise TopologyError(self.source, ".".join(part for part in (self.where, key) if part), message)

    def take(self, key: str) -> Any:
        if key not in self.values:
            self.refuse(key, "is missing")
        return self.values[key]

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key, default) if default is not None else self.take(key)
        if not isinstance(value, str):
            self.refuse(key, f"must be a text, got {value!r}")
        return value

    def whole(self, key: str, default: int | None = None) -> int:
        value = self.values.get(key, default) if default is not None else self.take(key)
        if type(value) is not int:
            self.refuse(key, f"must be a whole number, got {value!r}")
        return value

    def array(self, key: str) -> list[Any]:
        value = self.take(key)
        if not isinstance(value, list | tuple):
            self.refuse(key, f"must be an array, got {value!r}")
        return list(value)

    def texts(self, key: str) -> tuple[str, ...]:
        values = self.array(key) if key in self.values else []
        if not all(isinstance(value, str) for value in values):
            self.refuse(key, "must be an array of texts")
        return tuple(values)

    def matrix(self, key: str) -> tuple[tuple[int, ...], ...]:
        rows = self.array(key)
        for i, row in enumerate(rows):
            if not isinstance(row, list | tuple) or not all(type(value) is int for value in row):
                self.refuse(f"{key}[{i}]", "must be an array of whole numbers")
        return tuple(tuple(row) for row in rows)

    def sub(self, key: str, known: Iterable[str]) -> "_Table | None":
        if key not in self.values:
            return None
        return _Table(self.values[key], self.source, f"{self.where}.{key}".lstrip("."), known)

    def tables(self, key: str, known: Iterable[str]) -> list["_Table"]:
        known = tuple(known)
        where = f"{self.where}.{key}".lstrip(".")
        return [_Table(entry, self.source, f"{where}[{i}]", known) for i, entry in enumerate(self.array(key))]

    def amount(self, key: str, parse: Any, value: object) -> int:
        """Parse a quantity, naming its place when it is wrong."""
        try:
            return int(parse(value))
        except (ValueError, TypeError) as error:
            self.refuse(key, str(error))


def _node(table: _Table, number: int) -> Node:
    memory_bytes = table.amount("memory", parse_bytes, table.take("memory"))
    try:
        cpus = parse_list(table.text("cpus"))
    except ValueError as error:
        table.refuse("cpus", str(error))
    return Node(number, memory_bytes, cpus, table.whole("os_id", number))


def _links(table: _Table, nodes: tuple[Node, ...], distances: tuple[tuple[int, ...], ...]) -> tuple[Link, ...]:
    """Return the links listed, or those the distances suggest with one bandwidth for all."""
    if "bandwidth" in table.values and "list" in table.values:
        table.refuse("bandwidth", "give either list (each link with its bandwidth) or bandwidth (for derived links)")
    if "bandwidth" in table.values:
        bandwidth = table.amount("bandwidth", parse_bandwidth, table.take("bandwidth"))
        square = len(distances) == len(nodes) and all(len(row) == len(nodes) for row in distances)
        return derived_links(nodes, distances, bandwidth) if square else ()
    links = []
    for entry in table.tables("list", keys_of("links", "list")):
        ends = entry.array("nodes")
        if len(ends) != 2 or not all(type(end) is int for end in ends):
            entry.refuse("nodes", f"must be two node numbers, got {ends!r}")
        a, b = sorted(ends)
        bandwidth = entry.amount("bandwidth", parse_bandwidth, entry.take("bandwidth"))
        links.append(Link(a, b, bandwidth, entry.text("name", f"link{a}-{b}")))
    return tuple(links)


def _curves(table: _Table, node_count: int) -> tuple[Curve | None, ...]:
    """Return the loaded-latency curve of each node that shares the measured one."""
    share = table.whole("shared_by_nodes", 1)
    if share < 1:
        table.refuse("shared_by_nodes", f"must be at least 1, got {share}")
    points = []
    for i, point in enumerate(table.array("points")):
        if not isinstance(point, list | tuple) or len(point) != 2 or type(point[1]) is not int:
            table.refuse(f"points[{i}]", "must be [bandwidth, latency in whole ns]")
        points.append((table.amount(f"points[{i}]", parse_bandwidth, point[0]) // share, point[1]))
    curve = Curve.from_measured(table.text("source"), points)
    members = table.array("nodes") if "nodes" in table.values else list(range(node_count))
    for member in members:
        if type(member) is not int or not 0 <= member < node_count:
            table.refuse("nodes", f"unknown node {member!r}: nodes are 0 to {node_count - 1}")
    return tuple(curve if node in members else None for node in range(node_count))


def from_table(values: Mapping[str, Any], source: str) -> Topology:
    """Return the machine a table describes (a preset file, or a machine written inline in a configuration).

    Parameters
    ----------
    values : mapping
        The table; see the module's description.
    source : str
        File to name in errors.

    Raises
    ------
    TopologyError
        Unknown or missing keys, wrong types or units, or an impossible machine; names file and place.
    """
    table = _Table(values, source, "", keys_of())
    nodes = tuple(_node(entry, i) for i, entry in enumerate(table.tables("nodes", keys_of("nodes"))))
    distances = table.matrix("distances")
    table.texts("tags")
    more: dict[str, Any] = {}
    if latency := table.sub("latency", keys_of("latency")):
        more |= {"latency_ns": latency.matrix("ns"), "latency_source": latency.text("source", "given")}
    if bandwidth := table.sub("bandwidth", keys_of("bandwidth")):
        amounts = [bandwidth.amount(f"nodes[{i}]", parse_bandwidth, v) for i, v in enumerate(bandwidth.array("nodes"))]
        more |= {"bandwidth": amounts, "bandwidth_source": bandwidth.text("source", "given")}
    if links := table.sub("links", keys_of("links")):
        more |= {"links": _links(links, nodes, distances), "links_source": links.text("source", "given")}
    if curve := table.sub("curve", keys_of("curve")):
        more["curves"] = _curves(curve, len(nodes))
    notes = (*(f"assumed: {text}" for text in table.texts("assumed")), *table.texts("notes"))
    try:
        return build_topology(
            table.text("name", "inline"),
            table.text("source", source),
            nodes,
            distances,
            title=table.text("title", ""),
            notes=notes,
            **more,
        )
    except TopologyError as error:  # name the file, not the origin of its facts
        raise TopologyError(source, error.where, error.message) from None


def read(path: str | Path) -> Topology:
    """Read a machine from a TOML file in the form of a preset; errors as `from_table`."""
    text = read_text(Path(path))
    try:
        return from_table(tomllib.loads(text), str(path))
    except tomllib.TOMLDecodeError as error:
        raise TopologyError(path, "", f"is not valid TOML: {error}") from None


def preset_paths() -> dict[str, Path]:
    """Return the preset files by name, in order of name."""
    for folder in _FOLDERS:
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.toml"))}
    return {}


def preset_names() -> tuple[str, ...]:
    """Return the names of all presets, sorted."""
    return tuple(preset_paths())


def preset_tags(name: str) -> tuple[str, ...]:
    """Return a preset's tags, such as ``"2-socket"``, ``"snc"``, ``"cpuless"``, ``"measured-latency"``."""
    with _path(name).open("rb") as file:
        return tuple(tomllib.load(file).get("tags", ()))


def _path(name: str) -> Path:
    paths = preset_paths()
    if name in paths:
        return paths[name]
    near = difflib.get_close_matches(name, paths, n=5, cutoff=0.5)
    hint = f"near matches: {', '.join(near)}" if near else f"presets: {', '.join(paths) or 'none found'}"
    raise TopologyError(name, "", f"unknown preset ({hint})")


def preset(name: str) -> Topology:
    """Return a preset machine.

    Raises
    ------
    TopologyError
        There is no such preset (near matches are named).
    """
    return read(_path(name))


def describe(topology: Topology) -> str:
    """Return the machine in a few lines: nodes, memory, CPUs, and where each kind of figure comes from."""
    lines = [f"{topology.name}: {topology.title or topology.source}", f"  source: {topology.source}"]
    lines += [
        f"  {len(topology)} nodes, {topology.cpu_count} CPUs, {topology.memory_bytes / 2**30:.1f} GiB",
        f"  latency: {topology.latency_source}",
        f"  bandwidth: {topology.bandwidth_source}",
        f"  links: {len(topology.links)} ({topology.links_source})",
    ]
    lines += [f"    {link.name}: {format_bandwidth(link.bandwidth)}" for link in topology.links[:16]]
    if len(topology.links) > 16:
        lines.append(f"    ... and {len(topology.links) - 16} more")
    return "\n".join(lines + [f"  note: {note}" for note in topology.notes]) + "\n"
