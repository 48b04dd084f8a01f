"""Replaying the golden traces of `__alloc_pages` of late 2.4, and reading the events it logs."""

from __future__ import annotations

from typing import Any

from golden_traces import Command

from numa_sim.compiled import entry
from numa_sim.kernel import buddy, numa
from numa_sim.kernel.bootmem import hand_over_range
from numa_sim.kernel.buddy import free_lists
from numa_sim.kernel.mmzone import build_zonelists, free_area_init_node
from numa_sim.kernel.profiles import get
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM, ALLOC_YIELD
from numa_sim.state.constants import NIL, PF_MEMALLOC, PF_MEMDIE
from numa_sim.state.event_codes import EV_ALLOC_FAILED, EV_RMQUEUE, EV_WAKEUP_KSWAPD, EV_YIELD
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

TASK = 2
alloc_pages = entry(numa.alloc_pages)
alloc_after_reclaim = entry(numa.alloc_after_reclaim)
free_pages = entry(buddy.free_pages)


def events(k: Kernel) -> list[list[Any]]:
    """What was logged since the last call, in the golden traces' words."""
    log: list[list[Any]] = []
    for event in k.events[: int(k.vm[0].events_used)]:
        if event.code == EV_RMQUEUE:
            log.append(["rmqueue", int(event.a), None if event.b == NIL else int(event.b)])
        elif event.code == EV_WAKEUP_KSWAPD:
            log.append(["wake_kswapd"])
        elif event.code == EV_YIELD:
            log.append(["yield"])
        elif event.code == EV_ALLOC_FAILED:
            log.append(["failed", int(event.a), int(event.b)])
    k.vm[0].events_used = 0
    return log


def start_golden(init: Command, profile: str = "linux-2.4.37") -> Any:
    """The model of one sequence: a node with the trace's zones and marks."""
    sizes = init.args["zone_sizes"]
    k = new_kernel(Sizes(nodes=1, cpus=1, frames=sum(sizes), tables=1, events=256, section_shift=0))
    vm = k.vm[0]
    vm.record_events, vm.current_task = 1, TASK
    free_area_init_node(k, 0, 0, sizes, get(profile))
    vm.profile = get(profile).kernel
    for z, zone in enumerate(k.zones):
        hand_over_range(k, z, int(zone.start_pfn), int(zone.start_pfn) + sizes[z])
        if "marks" in init.args:
            zone.watermarks[:] = init.args["marks"][z]
        else:
            for c, mark in enumerate(init.args["watermarks"][z]):
                zone.watermarks[c] = mark or 0
    k.nodes[0].pgdat_next, vm.pgdat_list = NIL, 0
    build_zonelists(k)

    def alloc(args: dict[str, Any], log: list[list[Any]]) -> int | None:
        rounds = iter(enumerate(args["rounds"]))
        k.tasks[TASK]["flags"] = args["memalloc"] * PF_MEMALLOC | args["memdie"] * PF_MEMDIE
        vm.in_interrupt = args["interrupt"]
        pfn = alloc_pages(k, TASK, 0, args["gfp"], args["order"])
        log += events(k)
        while pfn in (ALLOC_RECLAIM, ALLOC_YIELD):
            task = k.tasks[TASK]
            if pfn == ALLOC_YIELD:
                pfn = alloc_after_reclaim(k, TASK, 0)
                log += events(k)
                continue
            assert task["flags"] & PF_MEMALLOC
            assert task.reclaim_gfp == args["gfp"]
            n, round_ = next(rounds, (None, {"free": [], "ret": 0}))
            log.append(["try_to_free_pages", int(task.reclaim_zone), n])
            if n is None and profile == "linux-2.4.22":
                task["flags"] |= PF_MEMDIE  # the stub's way to end what would be tried for ever
            for block, order in round_["free"]:
                free_pages(k, block, order)
            pfn = alloc_after_reclaim(k, TASK, round_["ret"])
            log += events(k)
        return None if pfn == ALLOC_FAIL else pfn

    def step(command: Command) -> None:
        args, log, result = command.args, [], None
        if command.op == "alloc":
            result = alloc(args, log)
            assert k.tasks[TASK].local_pfn == NIL
        elif command.op == "free":
            k.tasks[TASK]["flags"] = 0
            free_pages(k, args["pfn"], args["order"])
        elif command.op == "kswapd_sleep":
            vm.kswapd_asleep = 1
        elif command.op == "balanced":
            k.zones[args["zone"]].need_balance = 0
        command.check("result", result, command.result)
        command.check("log", [entry for entry in log if entry[0] != "failed"], command.log)
        command.check("bug", int(vm.bug), 0)
        state = command.state
        command.check("free", k.zones.free_pages.tolist(), state["free"])
        command.check("need_balance", k.zones.need_balance.tolist(), state["need_balance"])
        command.check("kswapd_asleep", int(vm.kswapd_asleep), state["kswapd_asleep"])
        if "lists" in state:
            ours = [{str(order): blocks for order, blocks in free_lists(k, z).items()} for z in range(3)]
            command.check("lists", ours, state["lists"])

    return step
