"""JSON Schema of a machine's file (``from = "toml:FILE"``, and the presets); the reader knows its keys from here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["MACHINE", "keys_of", "machine_schema"]

_TEXT: Final = {"type": "string"}
_WHOLE: Final = {"type": "integer", "minimum": 0}
_BANDWIDTH: Final = {"type": "string", "description": 'with its unit, like "25.6GB/s"'}


def _of(schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {**schema, "description": description}


def _list(items: Mapping[str, Any], description: str) -> dict[str, Any]:
    return {"type": "array", "items": dict(items), "description": description}


def _table(description: str, required: tuple[str, ...], properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": description,
        "additionalProperties": False,
        "required": list(required),
        "properties": dict(properties),
    }


_NODE: Final = _table(
    "a NUMA node",
    ("memory", "cpus"),
    {
        "memory": _of(_TEXT, 'with its unit, like "64GiB"; "0B": none'),
        "cpus": _of(_TEXT, 'its CPUs, like "0-7,16-23"; "": none'),
        "os_id": _of(_WHOLE, "number the machine's own system gave it; else its position"),
    },
)
_LINK: Final = _table(
    "a link between two nodes",
    ("nodes", "bandwidth"),
    {
        "nodes": {**_list(_WHOLE, "the two nodes"), "minItems": 2, "maxItems": 2},
        "bandwidth": _BANDWIDTH,
        "name": _of(_TEXT, "else link and the numbers of its nodes"),
    },
)
_SOURCE: Final = _of(_TEXT, "where the figures are from")

MACHINE: Final = _table(
    "a machine of numa_sim",
    ("nodes", "distances"),
    {
        "name": _of(_TEXT, "what it is called in results; else inline"),
        "title": _of(_TEXT, "its full name"),
        "tags": _list(_TEXT, 'what to find it by, like "2-socket"'),
        "source": _of(_TEXT, "where the description is from; else this file"),
        "assumed": _list(_TEXT, "what the source does not say"),
        "notes": _list(_TEXT, "what else to know"),
        "nodes": {**_list(_NODE, "its nodes, numbered from 0"), "minItems": 1},
        "distances": _list(
            _list({"type": "integer", "minimum": 10, "maximum": 255}, "from this node to each"),
            "SLIT distances, a row for each node; 10 is local",
        ),
        "latency": _table(
            "unloaded latency of memory",
            ("ns",),
            {
                "source": _SOURCE,
                "ns": _list(
                    _list({"type": "integer", "minimum": 1}, "of each node's memory"), "a row for each node's CPUs"
                ),
            },
        ),
        "bandwidth": _table(
            "of memory controllers", ("nodes",), {"source": _SOURCE, "nodes": _list(_BANDWIDTH, "of each node")}
        ),
        "links": _table(
            "between nodes: a list, or one bandwidth for those that the distances suggest",
            (),
            {"source": _SOURCE, "bandwidth": _BANDWIDTH, "list": _list(_LINK, "each link")},
        ),
        "curve": _table(
            "latency under load, as measured",
            ("source", "points"),
            {
                "source": _SOURCE,
                "shared_by_nodes": {
                    "type": "integer",
                    "minimum": 1,
                    "description": "nodes the measured load was spread over",
                },
                "nodes": _list(_WHOLE, "nodes it holds for; else all"),
                "points": _list(
                    {"type": "array", "prefixItems": [_BANDWIDTH, {"type": "integer"}], "minItems": 2, "maxItems": 2},
                    "bandwidth and latency in ns, one after the other",
                ),
            },
        ),
    },
)
"""Schema of the whole file; the reader says more of what fits it and is wrong, such as rows of unequal length."""


def keys_of(*path: str) -> tuple[str, ...]:
    """Keys that the table at `path` of a machine's file may have; of a list, those of its tables."""
    schema = MACHINE
    for key in path:
        schema = schema["properties"][key]
        schema = schema.get("items", schema)
    return tuple(schema["properties"])


def machine_schema() -> dict[str, Any]:
    """What ``numa-sim show schema machine`` prints."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "numa_sim machine", **MACHINE}
