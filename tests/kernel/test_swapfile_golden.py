"""Replay of recorded swap slots, devices and read-ahead windows of 2.4.37, 2.4.0 and 2.2.1 (golden subject swap)."""

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from golden_traces import Command, replay

from numa_sim.compiled import entry
from numa_sim.kernel import swapfile
from numa_sim.kernel.swapon import swapon
from numa_sim.state.constants import KERNEL_2_2, KERNEL_2_4_0, KERNEL_2_4_37
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

_RULES = {
    name: entry(getattr(swapfile, name))
    for name in (
        "get_swap_page", "swap_free", "swap_free_uses", "swap_duplicate", "valid_swaphandles", "swapoff_begin",
        "swapoff_fail", "swapoff_end",
    )
}  # fmt: skip


def _entry_of(args: dict[str, Any]) -> int:
    return args["type"] << 1 | args["offset"] << 8


def _slot_count(k: Kernel, args: dict[str, Any]) -> int:
    si = k.swap_info[args["type"]]
    inside = si.flags != 0 and args["offset"] < si.max
    return int(k.swap_map[si.map_start + args["offset"]]) if inside else 0


def _run(k: Kernel, command: Command) -> Any:
    op, args = command.op, command.args
    if op == "init":
        return None
    if op == "swapon":
        t = swapon(k, args["slots"], args["priority"], args["bad"], args["version"])
        si = k.swap_info[t]
        return {"type": t, "priority": si.prio, "pages": si.pages, "max": si.max}
    if op == "get":
        got = _RULES["get_swap_page"](k)
        for _ in range(args.get("count", 1) - 1 if got else 0):
            _RULES["swap_duplicate"](k, got)
        return [(got >> 1) & 0x3F, got >> 8] if got else None
    if op == "free":
        if args.get("count", 1) == 1:
            return {"message": bool(_RULES["swap_free"](k, _entry_of(args)))}
        return {"message": bool(_RULES["swap_free_uses"](k, _entry_of(args), args["count"]))}
    if op == "duplicate":
        last = 0
        for _ in range(args["times"]):
            last = _RULES["swap_duplicate"](k, _entry_of(args))
        return {"last": last, "count": _slot_count(k, args)}
    if op == "readahead_window":
        start, pages = _RULES["valid_swaphandles"](k, _entry_of(args))
        for offset in range(start, start + pages) if k.vm[0].profile == KERNEL_2_4_0 else ():
            _RULES["swap_free"](k, args["type"] << 1 | offset << 8)
        return {"pages": pages, "start": start}
    if op in ("io_lock", "io_unlock"):
        k.swap_lockmap[k.swap_info[args["type"]].map_start + args["offset"]] = int(op == "io_lock")
        return None
    _RULES[op](k, args["type"])
    return command.result


def _devices(k: Kernel, golden: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Our devices, each with the fields the trace shows for it on this line."""
    found = {}
    for t in range(len(k.swap_info)):
        si = k.swap_info[t]
        if si.flags == 0:
            continue
        slots = k.swap_map[si.map_start : si.map_start + si.max].tolist()
        shown: dict[str, Any] = {"lo": si.lowest_bit, "hi": si.highest_bit, "cnr": si.cluster_nr}
        shown["cnext"] = si.cluster_next
        shown["next"], shown["prio"] = si.next, si.prio
        shown["map"] = [[value, len(list(run))] for value, run in groupby(slots)]
        shown["locked"] = np.flatnonzero(k.swap_lockmap[si.map_start : si.map_start + si.max]).tolist()
        asked = golden.get(str(t), {})
        hidden = {"cnext"} if si.cluster_nr == 0 else set()  # never initialised then
        found[str(t)] = {key: shown[key] for key in asked if key not in hidden}
        for key in hidden & asked.keys():
            found[str(t)][key] = asked[key]
    return found


@pytest.mark.parametrize(
    ("version", "kernel"), [("2.4.37", KERNEL_2_4_37), ("2.4.0", KERNEL_2_4_0), ("2.2.1", KERNEL_2_2)]
)
def test_every_recorded_swap_command_gives_the_recorded_answer(version: str, kernel: int) -> None:
    def start(init: Command) -> Callable[[Command], None]:
        k = new_kernel(Sizes(nodes=1, cpus=1, frames=1, tables=1, swap_slots=1 << 17, io_ring=1))
        k.vm[0].profile = kernel
        k.vm[0].page_cluster = init.args["page_cluster"]

        def step(command: Command) -> None:
            result = _run(k, command)
            command.check("result", result, command.result)
            vm, state = k.vm[0], command.state
            ours = {"head": vm.swap_list_head, "next": vm.swap_list_next, "nr_swap_pages": vm.nr_swap_pages}
            ours["devices"] = _devices(k, state["devices"])
            command.check("state", ours, state)

        return step

    assert replay("swap", start, version) > 1000
