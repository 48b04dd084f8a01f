"""XML files of hwloc 2 (``lstopo machine.xml``): nodes, memory, CPUs and the NUMALatency distances.

hwloc 2 writes ``<topology version="2.x">`` with NUMA nodes as memory children that carry ``os_index``,
``local_memory``, ``cpuset`` and ``nodeset``, and the SLIT as a ``<distances2 name="NUMALatency">`` matrix.
"""

from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from numa_sim.errors import TopologyError
from numa_sim.topology.build import build_topology, numbered_densely
from numa_sim.topology.cpulist import parse_mask
from numa_sim.topology.files import read_bytes
from numa_sim.topology.model import Topology

_DEEPEST: Final = 200
_LARGEST_MEMORY: Final = 1 << 62


class _Document:
    """The parsed XML with the line of every element, and errors that name both."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[Element, int] = {}
        self.depth = 0
        self.builder = TreeBuilder()
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self.builder.data
        self.parser.EntityDeclHandler = self._entity
        try:
            self.parser.Parse(read_bytes(path), True)
        except expat.ExpatError as error:
            what = expat.ErrorString(error.code)
            raise TopologyError(path, f"line {error.lineno}", f"is not well-formed XML: {what}") from None
        except (LookupError, ValueError) as error:  # an encoding Python does not know, or cannot offer to expat
            raise TopologyError(path, "line 1", f"is in an unusable encoding: {error}") from None
        self.root = self.builder.close()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise TopologyError(self.path, f"line {self.parser.CurrentLineNumber}", "elements are nested too deeply")
        self.lines[self.builder.start(tag, attributes)] = self.parser.CurrentLineNumber

    def _end(self, tag: str) -> None:
        self.depth -= 1
        self.builder.end(tag)

    def _entity(self, name: str, *_rest: Any) -> None:
        # hwloc declares none; a file that does may be built to blow up or to read other files
        raise TopologyError(self.path, f"line {self.parser.CurrentLineNumber}", f"declares an XML entity ({name!r})")

    def error(self, element: Element, message: str) -> TopologyError:
        kind = element.get("type")
        shown = f"<{element.tag} type={kind!r}>" if kind else f"<{element.tag}>"
        return TopologyError(self.path, f"line {self.lines[element]}, {shown}", message)

    def number(self, element: Element, attribute: str, most: int) -> int:
        text = element.get(attribute)
        if text is None:
            raise self.error(element, f"has no {attribute}")
        if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > most:
            raise self.error(element, f"{attribute}={text[:40]!r} is not a number of 0 to {most}")
        return int(text)

    def mask(self, element: Element, attribute: str) -> tuple[int, ...]:
        text = element.get(attribute)
        if text is None:
            raise self.error(element, f"has no {attribute}")
        try:
            return parse_mask(text)
        except ValueError as error:
            raise self.error(element, f"{attribute}: {error}") from None


def _check_version(document: _Document) -> None:
    root = document.root
    if root.tag != "topology":
        raise document.error(root, "is not an hwloc topology")
    version = root.get("version")
    if version is None:
        raise document.error(root, "has no version: this is hwloc 1 XML; convert it with lstopo of hwloc 2")
    if version.split(".")[0] != "2":
        raise document.error(root, f"version {version!r} is not supported, only hwloc 2 XML is (export with hwloc 2)")


def _nodes(document: _Document) -> dict[int, Element]:
    """Return the NUMANode objects by os_index."""
    found: dict[int, Element] = {}
    for element in document.root.iter("object"):
        if element.get("type") != "NUMANode":
            continue
        number = document.number(element, "os_index", 65535)
        if number in found:
            raise document.error(element, f"NUMA node {number} is described twice")
        if document.mask(element, "nodeset") != (number,):
            raise document.error(element, f"nodeset {element.get('nodeset')!r} is not just node {number}")
        found[number] = element
    if not found:
        raise document.error(document.root, "has no NUMANode object")
    return dict(sorted(found.items()))


def _cpus(document: _Document, nodes: dict[int, Element]) -> tuple[dict[int, tuple[int, ...]], list[str]]:
    """Return the CPUs of each node.

    hwloc gives a node without CPUs (HBM, CXL, persistent memory) the cpuset of the CPUs *near* it.  So a node whose
    CPUs all belong to lower-numbered nodes is one without CPUs; a partial overlap is an error.
    """
    known = {
        document.number(element, "os_index", 65535)
        for element in document.root.iter("object")
        if element.get("type") == "PU"
    }
    owner: dict[int, int] = {}
    cpus: dict[int, tuple[int, ...]] = {}
    near = []
    for node, element in nodes.items():
        mask = document.mask(element, "cpuset")
        taken = [cpu for cpu in mask if cpu in owner]
        if unknown := [cpu for cpu in mask if cpu not in known]:
            raise document.error(element, f"node {node}: unknown CPU {unknown[0]}: there is no PU with that os_index")
        if taken and len(taken) < len(mask):
            raise document.error(element, f"node {node}: CPU {taken[0]} also belongs to node {owner[taken[0]]}")
        if taken:
            near.append(node)
        cpus[node] = () if taken else mask
        owner |= dict.fromkeys(cpus[node], node)
    notes = [f"nodes {near} share their cpuset with lower-numbered nodes: taken as nodes without CPUs"] if near else []
    return cpus, notes


def _values(document: _Document, element: Element, tag: str) -> list[int]:
    values: list[int] = []
    for part in element.iter(tag):
        for word in (part.text or "").split():
            if not (word.isascii() and word.isdigit()) or len(word) > 20:
                raise document.error(part, f"{word[:40]!r} is not a whole number")
            values.append(int(word))
    return values


def _is_latency(table: Element) -> bool:
    """Return whether a matrix is the SLIT; hwloc 2.0 gave matrices no names, only kinds (bit 4: means latency)."""
    name, kind = table.get("name"), table.get("kind", "")
    if name is None:
        return table.get("type") == "NUMANode" and kind.isascii() and kind.isdigit() and bool(int(kind[:9]) & 4)
    return name == "NUMALatency"


def _distance(document: _Document, nodes: list[int]) -> list[list[int]]:
    """Return the SLIT in the order of `nodes`."""
    tables = [e for e in document.root.iter("distances2") if _is_latency(e)]
    if not tables:
        if len(nodes) == 1:
            return [[10]]
        raise document.error(document.root, f"has no NUMALatency distances for its {len(nodes)} nodes")
    if len(tables) > 1:
        raise document.error(tables[1], "a second NUMALatency matrix")
    table = tables[0]
    if table.get("type") != "NUMANode" or table.get("indexing") != "os":
        raise document.error(table, "must be between NUMANode objects with os indexing")
    count = document.number(table, "nbobjs", 65535)
    indexes = _values(document, table, "indexes")
    values = _values(document, table, "u64values")
    if len(indexes) != count or len(values) != count * count:
        raise document.error(
            table, f"has {len(indexes)} indexes and {len(values)} values for {count} nodes ({count * count} needed)"
        )
    if sorted(indexes) != nodes:
        raise document.error(table, f"is about nodes {sorted(indexes)}, but the file describes {nodes}")
    place = [indexes.index(node) for node in nodes]
    return [[values[i * count + j] for j in place] for i in place]


def read(path: str | Path) -> Topology:
    """Read a machine from an hwloc 2 XML file.

    Latency, bandwidth and links are derived or assumed and say so (`build_topology`).  Caches, devices and memory
    attributes in the file are ignored.

    Raises
    ------
    TopologyError
        Not readable, not XML, with entity declarations, not hwloc version 2, or inconsistent; names the line and
        element.
    """
    document = _Document(Path(path))
    _check_version(document)
    elements = _nodes(document)
    cpus, cpu_notes = _cpus(document, elements)
    memory = {
        node: document.number(e, "local_memory", _LARGEST_MEMORY) if e.get("local_memory") is not None else 0
        for node, e in elements.items()
    }
    nodes, notes = numbered_densely(memory, cpus)
    source = str(path)
    return build_topology(
        Path(path).stem,
        source,
        nodes,
        _distance(document, sorted(elements)),
        title=f"hwloc XML: {Path(path).name}",
        notes=(*notes, *cpu_notes),
    )
