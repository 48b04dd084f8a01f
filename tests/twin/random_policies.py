"""Memory policies for the tasks of a random machine: as numactl gives them, and asked for by their programs."""

from __future__ import annotations

from typing import Any

from twin.random_draw import Draw

MODES = ("local", "preferred", "preferred_many", "bind", "interleave", "weighted_interleave")


def have_policies(d: Draw, workload: dict[str, Any], memory: list[int]) -> None:
    """Sometimes a policy from the beginning, a new one for what is mapped later, one for part of the first region."""
    nodes = [node for node, size in enumerate(memory) if size]
    program = workload["program"]
    if d.chance(0.5):
        workload["policy"] = _policy(d, nodes)
    if d.chance(0.5):
        program.insert(d.number(1, len(program) - 1), {"op": "set_mempolicy", **_policy(d, nodes)})
    if d.chance(0.7):
        region = program[0]
        pages = int(region["size"][:-1]) // 4096
        first = d.number(0, pages - 1)
        part = {"offset": f"{first * 4096}B", "length": f"{d.number(1, pages - first) * 4096}B"}
        program.insert(1, {"op": "mbind", "on": region["as"], **part, **_policy(d, nodes)})


def _policy(d: Draw, nodes: list[int]) -> dict[str, Any]:
    mode = d.one(*MODES)
    chosen = sorted({d.one(*nodes) for _ in range(1 if mode == "preferred" else d.number(1, len(nodes)))})
    policy: dict[str, Any] = {"mode": mode}
    if mode != "local":
        policy["nodes"] = chosen
    if mode == "weighted_interleave":
        policy["weights"] = [d.number(1, 5) for _ in chosen]
    return policy
