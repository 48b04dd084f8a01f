"""`__alloc_pages` of 2.4.0 on zones that behave like the recorder's: numbers, and stubs for what the allocation calls.

The recorder's zones have no blocks; its stub `rmqueue` succeeds if enough pages are free and the order does not exceed
the zone's `max_order`, which grows when a clean page is freed and the zone coalesces.  Here the real `rmqueue` and
`reclaim_page` run; before each step every zone gets free and clean pages placed so that they succeed exactly when the
stubs would: at most one block matters, for a call takes at most one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from golden_traces import Command
from kernel.v2_4_0.reclaim_replay import ours

from numa_sim.compiled import entry
from numa_sim.kernel import buddy
from numa_sim.kernel.v2_4_0 import page_alloc, pressure
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM, ALLOC_WAIT_KSWAPD
from numa_sim.state.constants import KERNEL_2_4_0, MAX_ORDER, NIL, NR_ZONES, PF_MEMALLOC, PG_inactive_clean
from numa_sim.state.event_codes import (
    EV_ALLOC_FAILED,
    EV_RECLAIM_PAGE,
    EV_RMQUEUE,
    EV_WAKEUP_BDFLUSH,
    EV_WAKEUP_KRECLAIMD,
    EV_WAKEUP_KSWAPD,
    EV_YIELD,
)
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

TASK = 2
ZONE_PAGES = 1024
CLEAN_AT = 64
"""Clean pages of a zone that do not complete a block lie from here on, with gaps so that they never merge."""
FILE = 2
"""Mapping of the clean pages."""
HUGE = 1 << 40

_alloc_attempt = entry(page_alloc.alloc_attempt)
_attempt_continue = entry(page_alloc.attempt_continue)
_insert_block = entry(buddy.insert_block)
_free_shortage = entry(pressure.free_shortage)
_inactive_shortage = entry(pressure.inactive_shortage)


class Zone:
    """One zone of the recorder, and how it is placed in frames."""

    def __init__(self, k: Kernel, z: int, given: dict[str, int], coalesces: int) -> None:
        self.k, self.z, self.coalesces = k, z, coalesces
        self.free, self.clean = given["free"], given["inactive_clean"]
        self.reclaimable, self.max_order = given["reclaimable"], given["max_order"]

    def has_block(self, order: int, freed: int = 0) -> bool:
        """The stub's rule, after so many clean pages have been freed."""
        return self.free + freed >= 1 << order and min(self.max_order + freed * self.coalesces, 9) >= order

    def place(self, order: int) -> None:
        """Free and clean pages so that a block of `order` is there, or comes about by freeing clean pages, or never."""
        k, zone, base = self.k, self.k.zones[self.z], self.z * ZONE_PAGES
        missing = next((n for n in range(self.reclaimable + 1) if self.has_block(order, n)), None)
        zone.free_head[:], zone.nr_free[:] = NIL, 0
        if missing is not None:
            for pfn in range(base + missing, base + (1 << order)):
                _insert_block(k, self.z, pfn, 0)
        zone.free_pages, zone.inactive_clean_pages = self.free, self.clean
        completing = [base + i for i in range(missing or 0)]
        rest = [base + CLEAN_AT + 2 * i for i in range(self.reclaimable - len(completing))]
        self.put_on_list(np.array(completing + rest, np.int64))

    def put_on_list(self, pfns: np.ndarray) -> None:
        """The inactive_clean list, the first to be reclaimed (the tail) first."""
        zone, pages = self.k.zones[self.z], self.k.pages
        zone.inactive_clean_tail = pfns[0] if len(pfns) else NIL
        zone.inactive_clean_head = pfns[-1] if len(pfns) else NIL
        pages["flags"][pfns], pages["count"][pfns], pages["mapping"][pfns] = PG_inactive_clean, 1, FILE
        pages["lru_prev"][pfns] = np.append(pfns[1:], NIL)[: len(pfns)]
        pages["lru_next"][pfns] = np.append(NIL, pfns[:-1])[: len(pfns)]

    def shown(self) -> dict[str, int]:
        return {
            "free": self.free, "inactive_clean": self.clean, "reclaimable": self.reclaimable,
            "max_order": self.max_order,
        }  # fmt: skip


class Allocation:
    """One recorded call, from its arguments to its result; `log` is what it did."""

    def __init__(self, args: dict[str, Any]) -> None:
        self.args = args
        self.k = machine(args)
        self.zones = [
            Zone(self.k, z, given, args["coalesce"][z]) if given else None for z, given in enumerate(args["zones"])
        ]
        self.log: list[list[Any]] = []
        self.sleeps = list(args["on_sleep"])
        self.laundered = False

    def place(self) -> None:
        self.k.pages.view(np.ndarray).view(np.uint8)[:] = 0
        self.k.buddy_map[:] = 0
        for zone in self.zones:
            if zone is not None:
                zone.place(self.args["order"])

    def run(self) -> int | None:
        """The zone the page came from, or None."""
        k, task = self.k, self.k.tasks[TASK]
        self.place()
        shortages = int(_free_shortage(k)), int(_inactive_shortage(k))
        assert shortages == (self.args["free_shortage"], self.args["inactive_shortage"])
        pfn = int(_alloc_attempt(k, TASK, 0, ours(self.args["gfp"]), self.args["order"]))
        self.observe(pfn >= 0)
        while pfn < ALLOC_FAIL:
            if pfn == ALLOC_WAIT_KSWAPD:
                self.sleep()
            elif pfn == ALLOC_RECLAIM and task.alloc_stage == page_alloc.STAGE_LAUNDERED:
                self.launder()
            elif pfn == ALLOC_RECLAIM:
                self.log.append(["try_to_free_pages", self.args["gfp"]])
                task["flags"] &= ~PF_MEMALLOC
                self.sleep()
                # The recorder's try_to_free_pages lets PF_MEMALLOC be, the kernel's clears it.
                task.alloc_stage = page_alloc.STAGE_WAITED
            self.place()
            pfn = int(_attempt_continue(k, TASK))
            self.observe(pfn >= 0)
        return None if pfn == ALLOC_FAIL else pfn // ZONE_PAGES

    def sleep(self) -> None:
        """What the recorder's wakeup_kswapd(1) and try_to_free_pages do."""
        if not self.sleeps:
            self.log.append(["oom_kill"])
            self.k.tasks[TASK]["flags"] |= PF_MEMALLOC
            return
        what, z, n = self.sleeps.pop(0)
        zone = self.zones[z] if what != "oom" else None
        if what == "oom":
            self.k.tasks[TASK]["flags"] |= PF_MEMALLOC
        elif zone is not None and what == "free":
            zone.free += n
        elif zone is not None:
            zone.clean += n
            zone.reclaimable += n

    def launder(self) -> None:
        memalloc = int(bool(self.k.tasks[TASK]["flags"] & PF_MEMALLOC))
        self.log.append(["page_launder", self.args["gfp"], 1, memalloc])
        z, n = self.args["launder"]
        zone = self.zones[z]
        if not self.laundered and zone is not None:
            zone.clean += n
            zone.reclaimable += n
        self.laundered = True

    def observe(self, done: bool) -> None:
        """Put what was logged since the last step in the recorder's words, and take the zones' numbers down."""
        events = self.k.events[: int(self.k.vm[0].events_used)].tolist()
        self.k.vm[0].events_used = 0
        for _, a, b, code, _ in events:
            if code == EV_RMQUEUE:
                self.log.append(["rmqueue", a, int(b != NIL)])
            elif code == EV_RECLAIM_PAGE:
                self.log.append(["reclaim_page", a, int(b != NIL)])
                if b != NIL:
                    self.reclaimed(a)
            elif code == EV_WAKEUP_KSWAPD:
                self.log.append(["wakeup_kswapd", a])
            elif code in _SIMPLE:
                self.log.append(_SIMPLE[code])
        for zone in self.zones:
            if zone is not None:
                zone.free = int(self.k.zones[zone.z].free_pages)
                zone.clean = int(self.k.zones[zone.z].inactive_clean_pages)

    def reclaimed(self, z: int) -> None:
        zone = self.zones[z]
        assert zone is not None
        zone.reclaimable -= 1
        if self.args["order"] > 0:
            # Not for the caller itself: set free so that blocks may form.
            self.log.append(["free_page", z])
            zone.max_order = min(zone.max_order + zone.coalesces, 9)


_SIMPLE = {
    EV_WAKEUP_BDFLUSH: ["wakeup_bdflush", 0], EV_WAKEUP_KRECLAIMD: ["wake_kreclaimd"], EV_YIELD: ["yield"],
    EV_ALLOC_FAILED: ["failed"],
}  # fmt: skip


def machine(args: dict[str, Any]) -> Kernel:
    """One node; its zones have marks but no pages yet."""
    k = new_kernel(Sizes(nodes=1, cpus=1, frames=NR_ZONES * ZONE_PAGES, tables=1, events=4096, io_ring=1))
    vm = k.vm[0]
    vm.profile, vm.record_events, vm.current_task = KERNEL_2_4_0, 1, TASK
    vm.nr_cpus = HUGE  # the recorder's __free_page leaves memory_pressure alone
    vm.total_pages, vm.memory_pressure = args["num_physpages"], args["memory_pressure"]
    vm.nr_inactive_dirty_pages, vm.kreclaimd_asleep = args["nr_inactive_dirty"], args["kreclaimd_asleep"]
    k.tasks[TASK]["flags"] = PF_MEMALLOC * args["memalloc"]
    marks = [m or [0, 0, 0] for m in args["marks"]]
    vm.freepages_min, vm.freepages_low, vm.freepages_high = (sum(column) for column in zip(*marks, strict=True))
    at = 0
    for z in range(NR_ZONES):
        zone = k.zones[z]
        zone.index, zone.start_pfn = z, z * ZONE_PAGES
        zone["size"] = ZONE_PAGES if args["zones"][z] else 0
        zone.watermarks[:] = marks[z]
        for order in range(MAX_ORDER - 1):
            zone.map_start[order] = at
            at += ZONE_PAGES >> (order + 1)
        k.section_zone[zone.start_pfn >> vm.section_shift : (zone.start_pfn + ZONE_PAGES) >> vm.section_shift] = z
    k.zonelists[0, 0, : len(args["zonelist"])] = args["zonelist"]
    return k


def check(command: Command) -> None:
    """Run one recorded call and compare everything."""
    if command.op == "init":
        return
    call = Allocation(command.args)
    result = call.run()
    command.check("log", call.log, command.log)
    command.check("result", result, command.result)
    command.check("memory_pressure", int(call.k.vm[0].memory_pressure), command.state["memory_pressure"])
    command.check("zones", [zone.shown() if zone else None for zone in call.zones], command.state["zones"])
