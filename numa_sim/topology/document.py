"""A machine as plain JSON values, so that a run folder can hold the machine that was simulated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numa_sim.errors import TopologyError
from numa_sim.topology.model import Curve, Link, Node, Topology

__all__ = ["from_document", "to_document"]

_TEXTS = ("name", "title", "latency_source", "bandwidth_source", "links_source")


def to_document(topology: Topology) -> dict[str, Any]:
    """Everything about a machine but the file it was read from, of JSON types; `from_document` reads it back.

    Memory is in bytes, latency in ns, bandwidth in bytes per second.
    """
    return {
        **{name: getattr(topology, name) for name in _TEXTS},
        "notes": list(topology.notes),
        "nodes": [
            {"memory_bytes": node.memory_bytes, "cpus": list(node.cpus), "os_id": node.os_id} for node in topology.nodes
        ],
        "distance": [list(row) for row in topology.distance],
        "latency_ns": [list(row) for row in topology.latency_ns],
        "bandwidth": list(topology.bandwidth),
        "links": [{"a": k.a, "b": k.b, "bandwidth": k.bandwidth, "name": k.name} for k in topology.links],
        "curves": [
            None if curve is None else {"name": curve.name, "points": [list(point) for point in curve.points]}
            for curve in topology.curves
        ],
    }


def from_document(document: Mapping[str, Any], source: str) -> Topology:
    """Return the machine of a document that `to_document` wrote.

    Parameters
    ----------
    document : mapping
        The document.
    source : str
        File it was read from, for messages.

    Raises
    ------
    TopologyError
        If it is no such document, or the machine cannot exist.
    """
    try:
        return Topology(
            source=source,
            nodes=tuple(
                Node(number, node["memory_bytes"], tuple(node["cpus"]), node["os_id"])
                for number, node in enumerate(document["nodes"])
            ),
            distance=tuple(map(tuple, document["distance"])),
            latency_ns=tuple(map(tuple, document["latency_ns"])),
            bandwidth=tuple(document["bandwidth"]),
            links=tuple(Link(k["a"], k["b"], k["bandwidth"], k["name"]) for k in document["links"]),
            curves=tuple(
                None if curve is None else Curve(curve["name"], tuple((at, ns) for at, ns in curve["points"]))
                for curve in document["curves"]
            ),
            notes=tuple(document["notes"]),
            **{name: document[name] for name in _TEXTS},
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise TopologyError(source, "", f"is no machine as a run folder holds it: {problem!r}") from None
