"""Memory policies in a configuration: of a workload, or asked for by its program (set_mempolicy, mbind)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationInfo, WithJsonSchema, model_validator

from numa_sim.config.memory_operations import MemoryRange
from numa_sim.config.quantities import Section, refuse
from numa_sim.topology.cpulist import format_list, parse_list

_NODE_LIST = 'nodes like [0, 1] or "0-3,8"'
_ONE_OR_MORE = ("bind", "interleave", "weighted_interleave", "preferred_many")


def _check_nodes(value: object, info: ValidationInfo) -> tuple[int, ...]:
    if isinstance(value, list | tuple):
        if not all(type(node) is int and node >= 0 for node in value):
            raise refuse(f"{value!r} is not a list of nodes", (_NODE_LIST,))
        return tuple(sorted(set(value)))
    if not isinstance(value, str):
        raise refuse(f"{value!r} is not a list of nodes", (_NODE_LIST,))
    try:
        return parse_list(value)
    except ValueError as problem:
        raise refuse(str(problem), (_NODE_LIST,)) from None


NodeList = Annotated[
    tuple[int, ...],
    BeforeValidator(_check_nodes),
    Field(strict=False),
    PlainSerializer(format_list, return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer", "minimum": 0}}],
            "x-values": _NODE_LIST,
        }
    ),
]
"""Nodes as the kernel writes them, or as a list of numbers."""
_Weight = Annotated[int, Field(ge=1, le=255)]


class MemPolicy(Section):
    """From which nodes memory comes, as numactl and mm/mempolicy.c know it (not on linux-2.2)."""

    mode: Literal["default", "local", "preferred", "preferred_many", "bind", "interleave", "weighted_interleave"] = (
        Field(description="how the nodes are used; local: the CPU's own; default: as if there were no policy")
    )
    nodes: NodeList = Field((), description="the set of nodes; one for preferred, none for default and local")
    weights: Annotated[tuple[_Weight, ...], Field(strict=False)] = Field(
        (), description="weighted_interleave: pages from each node before the next one's turn; else 1 each"
    )

    @model_validator(mode="after")
    def _nodes_fit_the_mode(self) -> Self:
        if self.mode in ("default", "local") and self.nodes:
            raise refuse(f"mode {self.mode!r} has no nodes", ("remove it",), "nodes")
        if self.mode == "preferred" and len(self.nodes) != 1:
            raise refuse(f"mode 'preferred' has one node, not {len(self.nodes)}", ("one node",), "nodes")
        if self.mode in _ONE_OR_MORE and not self.nodes:
            raise refuse(f"missing: mode {self.mode!r} needs them", (_NODE_LIST,), "nodes")
        if self.weights and self.mode != "weighted_interleave":
            raise refuse("weights go with weighted_interleave only", ("remove it",), "weights")
        if self.weights and len(self.weights) != len(self.nodes):
            raise refuse(
                f"{len(self.weights)} weights for {len(self.nodes)} nodes", (f"{len(self.nodes)} of them",), "weights"
            )
        return self


class SetMempolicy(MemPolicy):
    """Choose the nodes this task's memory comes from; children inherit it."""

    op: Literal["set_mempolicy"]


class Mbind(MemoryRange, MemPolicy):
    """Choose the nodes the pages of a region come from; those that are there already stay."""

    op: Literal["mbind"]
