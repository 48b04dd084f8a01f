"""One node with named pages under the rules of 2.4.0, run by the golden subjects reclaim-lists and swap-out."""

from __future__ import annotations

from typing import Any

from golden_traces import Command
from kernel import reclaim_replay
from kernel.reclaim_replay import TASK, take_page

from numa_sim.compiled import entry
from numa_sim.kernel import buddy, swapfile
from numa_sim.kernel.v2_4_0 import pressure, reclaim_page, swap, swap_out, vmscan
from numa_sim.state.constants import (
    BUFFERS_CLEAN,
    BUFFERS_NONE,
    GFP_HIGH_BIT,
    GFP_IO_BIT,
    GFP_WAIT_BIT,
    KERNEL_2_4_0,
    NIL,
    PAGE_SHIFT,
    PG_active,
    PG_dirty,
    PG_inactive_clean,
    PG_inactive_dirty,
    PG_locked,
    PG_ramdisk,
    PG_referenced,
    PG_reserved,
)
from numa_sim.state.event_codes import EVENTS

_FLAGS = {
    "L": PG_locked, "R": PG_referenced, "D": PG_dirty, "A": PG_active, "I": PG_inactive_dirty, "C": PG_inactive_clean,
}  # fmt: skip
_LOGGED = {
    "writepage", "leave_page_cache", "leave_swap_cache", "freed", "kmem_cache_reap", "shrink_dcache", "shrink_icache",
    "try_to_free_buffers", "wakeup_bdflush",
}  # fmt: skip
_GFP = {1: GFP_WAIT_BIT, 2: GFP_HIGH_BIT, 4: GFP_IO_BIT}
"""Bits of 2.4.0, as ours."""

_free_pages = entry(buddy.free_pages)
_swap_free = entry(swapfile.swap_free)
_lru_cache_add = entry(swap.lru_cache_add)
_PAGE_OPS = {
    name: entry(getattr(swap, name))
    for name in ("age_page_up", "age_page_down", "age_page_down_ageonly", "activate_page", "deactivate_page",
                 "lru_cache_del")
}  # fmt: skip
_recalculate_vm_stats = entry(pressure.recalculate_vm_stats)
_free_shortage = entry(pressure.free_shortage)
_inactive_shortage = entry(pressure.inactive_shortage)
_refill_inactive_scan = entry(vmscan.refill_inactive_scan)
_page_launder_begin = entry(vmscan.page_launder_begin)
_try_to_free_pages_begin = entry(vmscan.try_to_free_pages_begin)
_reclaim_run = entry(vmscan.reclaim_run)
_reclaim_page = entry(reclaim_page.reclaim_page)
_swap_out = entry(swap_out.swap_out)


def ours(gfp: int) -> int:
    """A mask of 2.4.0 in the simulator's bits."""
    return sum(bit for theirs, bit in _GFP.items() if gfp & theirs)


class Replay(reclaim_replay.Replay):
    """The model of one sequence: `step` runs a command and compares."""

    def __init__(self, init: Command) -> None:
        args = init.args
        self.k = reclaim_replay.bare_node(args["zones"], args["swap_slots"])
        vm = self.k.vm[0]
        vm.profile = KERNEL_2_4_0
        vm.memory_pressure, vm.total_pages = args["memory_pressure"], args["num_physpages"]
        vm.page_cluster = args["page_cluster"]
        vm.freepages_min, vm.freepages_low, vm.freepages_high = args["freepages"]
        for z, marks in enumerate(args["zone_marks"]):
            self.k.zones[z].watermarks[:] = marks
        for at, kind, method in reclaim_replay._METHODS.values():
            self.k.mappings[at].kind, self.k.mappings[at].writepage = kind, method
        self.methods: dict[int, tuple[int, int]] = {}
        self.vmas_used = self.rows_used = 0

    # Commands --------------------------------------------------------------------------------------------------------

    def page_op(self, command: Command) -> None:
        pfn = command.args["pfn"]
        if command.op in _PAGE_OPS:
            _PAGE_OPS[command.op](self.k, pfn)
        elif command.op == "lru_cache_add":
            self.add_to_lru(pfn)
        else:
            super().page_op(command)

    def add_to_lru(self, pfn: int) -> None:
        page = self.k.pages[pfn]
        locked = page.flags & PG_locked
        page.flags |= PG_locked
        _lru_cache_add(self.k, pfn)
        page.flags = page.flags & ~PG_locked | locked

    def add(self, command: Command) -> None:
        args = command.args
        k, pfn, kind = self.k, args["pfn"], args["kind"]
        take_page(k, pfn)
        page = k.pages[pfn]
        page.flags = 0
        page.age = args["age"]
        self.methods[pfn] = (args["writepage_refuses"], args["io_async"])
        if kind == "buffer":
            k.vm[0].buffermem_pages += 1
        else:
            self.give_mapping(pfn, kind)
        if kind == "swap":
            self.give_slot(pfn, args["slot_count"])
        if args["buffers"]:
            page.buffers = BUFFERS_CLEAN + args["buffers_need_wait"]
            page.count += kind != "buffer"
        page.count += args["extra_refs"]
        page.flags |= PG_dirty * args["dirty"] | PG_ramdisk * args["ramdisk"]
        self.add_to_lru(pfn)

    def map_anon(self, command: Command) -> None:
        super().map_anon(command)
        self.k.pages[command.args["pfn"]].age = command.args["age"]

    def refill_inactive_scan(self, command: Command) -> int:
        return int(_refill_inactive_scan(self.k, command.args["priority"], command.args["oneshot"]))

    def run_reclaim(self) -> int:
        _reclaim_run(self.k, TASK)
        assert self.k.tasks[TASK].wait_pfn == NIL, "the recorder's pages are never waited for"
        return int(self.k.tasks[TASK].reclaim_got)

    def page_launder(self, command: Command) -> int:
        _page_launder_begin(self.k, TASK, ours(command.args["gfp"]), command.args["sync"])
        return self.run_reclaim()

    def do_try_to_free_pages(self, command: Command) -> int:
        _try_to_free_pages_begin(self.k, TASK, ours(command.args["gfp"]), command.args["user"])
        return self.run_reclaim()

    def reclaim_page(self, command: Command) -> int | None:
        pfn = int(_reclaim_page(self.k, command.args["zone"]))
        if pfn != NIL and command.args["then_free"]:
            reclaim_replay._page_cache_release(self.k, pfn)
        return None if pfn == NIL else pfn

    def tick(self, command: Command) -> None:
        _recalculate_vm_stats(self.k)

    def set_memory_pressure(self, command: Command) -> None:
        self.k.vm[0].memory_pressure = next(iter(command.args.values()))

    def swap_out(self, command: Command) -> int:
        return int(_swap_out(self.k))

    # What can be seen ------------------------------------------------------------------------------------------------

    def log(self) -> list[list[Any]]:
        lines: list[list[Any]] = []
        for _, a, b, code, _ in self.k.events[: self.k.vm[0].events_used].tolist():
            name = EVENTS[code]
            if name not in _LOGGED:
                continue
            if name == "try_to_free_buffers":
                lines.append([name, a, b >> 1, b & 1])
            elif name in ("kmem_cache_reap", "wakeup_bdflush"):
                lines.append([name])
            else:
                lines.append([name, a])
        return lines

    def of_zones(self, name: str) -> list[int]:
        return [int(getattr(self.k.zones[z], name)) for z in range(2)]

    def show_nr_inactive_dirty(self, _: Any) -> int:
        return int(self.k.vm[0].nr_inactive_dirty_pages)

    def show_free(self, _: Any) -> list[int]:
        return self.of_zones("free_pages")

    def show_inactive_clean(self, _: Any) -> list[int]:
        return self.of_zones("inactive_clean_pages")

    def show_inactive_dirty(self, _: Any) -> list[int]:
        return self.of_zones("inactive_dirty_pages")

    def show_memory_pressure(self, _: Any) -> int:
        return int(self.k.vm[0].memory_pressure)

    def show_free_shortage(self, _: Any) -> int:
        return int(_free_shortage(self.k))

    def show_inactive_shortage(self, _: Any) -> int:
        return int(_inactive_shortage(self.k))

    def show_buffermem(self, _: Any) -> int:
        return int(self.k.vm[0].buffermem_pages)

    def show_inactive_dirty_list(self, _: Any) -> list[int]:
        return self.chain(int(self.k.vm[0].inactive_dirty_head))

    def show_inactive_clean_lists(self, _: Any) -> list[list[int]]:
        return [self.chain(head) for head in self.of_zones("inactive_clean_head")]

    def show_pages(self, _: Any) -> list[list[Any]]:
        found = []
        for pfn in range(len(self.k.pages)):
            page = self.k.pages[pfn]
            if page.count > 0:
                name = self.mapping_name(pfn)
                letters = "".join(letter for letter, bit in _FLAGS.items() if page.flags & bit)
                letters += "S" * (name == "swap") + "X" * bool(page.flags & PG_reserved)
                slot = page.index >> 8 if name == "swap" else -1
                found.append([pfn, page.count, letters, page.age, name, int(page.buffers != BUFFERS_NONE), slot])
        return found

    def show_mms(self, golden: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = super().show_mms(golden)
        for mine in found:
            mine["swap_cnt"] = int(self.k.mms[mine["id"] + 1].swap_cnt)
            mine["swap_address"] = int(self.k.mms[mine["id"] + 1].swap_address) << PAGE_SHIFT
        return found
