"""A sysfs tree of NUMA nodes: ``/sys/devices/system/node``, live or copied (Linux 2.6.12 and later)."""

import re
from pathlib import Path
from typing import Final

from numa_sim.errors import TopologyError
from numa_sim.topology.build import build_topology, numbered_densely
from numa_sim.topology.cpulist import format_list, parse_list, parse_mask
from numa_sim.topology.files import read_text
from numa_sim.topology.model import Topology

_NODE_FOLDER: Final = re.compile(r"node([0-9]{1,7})", re.ASCII)
_MEM_TOTAL: Final = re.compile(r"Node\s+([0-9]+)\s+MemTotal:\s*([0-9]{1,16})\s*kB", re.ASCII)
_PLACES: Final = ("", "node", "system/node", "devices/system/node", "sys/devices/system/node")


def _find(folder: Path) -> Path:
    """Return the folder that holds ``node0``, ``node1``, ...: `folder` itself or its usual place below a sysfs root."""
    try:
        if not folder.is_dir():
            raise TopologyError(folder, "", "is not a directory" if folder.exists() else "no such directory")
        for place in _PLACES:
            if (folder / place).is_dir() and _node_folders(folder / place):
                return folder / place
    except (OSError, ValueError) as error:
        raise TopologyError(folder, "", f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    raise TopologyError(folder, "", "holds no node0, node1, ... (expected a copy of /sys/devices/system/node)")


def _node_folders(folder: Path) -> dict[int, Path]:
    found = {}
    for entry in folder.iterdir():
        if (match := _NODE_FOLDER.fullmatch(entry.name)) and entry.is_dir():
            found[int(match[1])] = entry
    return dict(sorted(found.items()))


def _numbers(path: Path) -> tuple[int, ...]:
    """Return the numbers in a list file such as ``online`` or ``cpulist``."""
    try:
        return parse_list(read_text(path))
    except ValueError as error:
        raise TopologyError(path, "", str(error)) from None


def _cpus(folder: Path) -> tuple[int, ...]:
    """Return a node's CPUs: ``cpulist``, or ``cpumap`` of kernels before 2.6.25."""
    if (folder / "cpulist").exists():
        return _numbers(folder / "cpulist")
    path = folder / "cpumap"
    if not path.exists():
        raise TopologyError(folder, "", "has neither cpulist nor cpumap")
    try:
        return parse_mask(read_text(path))
    except ValueError as error:
        raise TopologyError(path, "", str(error)) from None


def _memory_bytes(folder: Path, node: int) -> int:
    path = folder / "meminfo"
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if "MemTotal:" not in line:
            continue
        match = _MEM_TOTAL.fullmatch(line.strip())
        if match is None:
            raise TopologyError(path, f"line {number}", f"expected 'Node {node} MemTotal: <number> kB'")
        if int(match[1]) != node:
            raise TopologyError(path, f"line {number}", f"is about node {match[1]}, expected node {node}")
        return int(match[2]) << 10
    raise TopologyError(path, "", "has no MemTotal line")


def _distances(folder: Path, nodes: list[int]) -> list[int]:
    """Return a node's row of the SLIT; it has one value per online node."""
    path = folder / "distance"
    words = read_text(path).split()
    if not all(word.isascii() and word.isdigit() and len(word) <= 7 for word in words):
        raise TopologyError(path, "line 1", "holds something that is not a number")
    if len(words) != len(nodes):
        raise TopologyError(path, "line 1", f"has {len(words)} distances for {len(nodes)} nodes")
    return [int(word) for word in words]


def _check_cpus_known(folder: Path, cpus: dict[int, tuple[int, ...]]) -> None:
    """Compare with the CPUs the tree itself says it has, when it holds them (``../cpu/possible``)."""
    path = folder.parent / "cpu" / "possible"
    if not path.is_file():
        return
    possible = set(_numbers(path))
    for node, numbers in cpus.items():
        for cpu in numbers:
            if cpu not in possible:
                raise TopologyError(folder / f"node{node}", "cpulist", f"unknown CPU {cpu}: not in {path}")


def read(path: str | Path) -> Topology:
    """Read a machine from a sysfs tree.

    Parameters
    ----------
    path : path
        ``/sys/devices/system/node``, a copy of it, or a copied root that has it below (``devices/system/node``,
        ``sys/devices/system/node``).

    Notes
    -----
    Read are ``online``, ``possible``, and per node ``cpulist`` (or ``cpumap``), ``meminfo`` and ``distance``.  Nodes
    that are not online are left out, as their rows are by the kernel.  Latency, bandwidth and links are derived or
    assumed and say so (`build_topology`).

    Raises
    ------
    TopologyError
        A file is missing or wrong; names it.
    """
    root = Path(path)
    folder = _find(root)
    folders = _node_folders(folder)
    online = list(_numbers(folder / "online")) if (folder / "online").exists() else list(folders)
    if missing := [node for node in online if node not in folders]:
        raise TopologyError(folder / "online", "", f"names node {missing[0]}, but there is no node{missing[0]}")
    if (folder / "possible").exists():
        possible = _numbers(folder / "possible")
        if unknown := [node for node in online if node not in possible]:
            raise TopologyError(folder / "online", "", f"names node {unknown[0]}, which is not in possible")
    memory_bytes = {node: _memory_bytes(folders[node], node) for node in online}
    cpus = {node: _cpus(folders[node]) for node in online}
    _check_cpus_known(folder, cpus)
    distance = [_distances(folders[node], online) for node in online]
    nodes, notes = numbered_densely(memory_bytes, cpus)
    if left_out := [node for node in folders if node not in online]:
        notes = (*notes, f"nodes not online are left out: {format_list(left_out)}")
    name = root.resolve().name or "sysfs"
    return build_topology(name, str(root), nodes, distance, title=f"sysfs tree {root}", notes=notes)
