"""One node with named pages, run by the commands of the golden subjects reclaim-lists and swap-out."""

from __future__ import annotations

from typing import Any

from golden_traces import Command

from numa_sim.compiled import entry
from numa_sim.kernel import buddy, filemap, free_list, lru_counters, swap, swap_out, swapfile, vmscan
from numa_sim.kernel.swapon import swapon
from numa_sim.state.answers import RECLAIM_DONE, RECLAIM_WAIT
from numa_sim.state.constants import (
    BUFFERS_CLEAN,
    BUFFERS_NONE,
    GFP_WAIT_BIT,
    KIND_FILE,
    KIND_SWAP,
    MAPPING_SWAP,
    MAX_ORDER,
    NIL,
    NR_ZONES,
    PAGE_SHIFT,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_TABLE,
    WMARK_HIGH,
    WRITEPAGE_ASYNC,
    WRITEPAGE_NONE,
    WRITEPAGE_REFUSE,
    WRITEPAGE_SYNC,
    PG_active,
    PG_dirty,
    PG_launder,
    PG_locked,
    PG_lru,
    PG_referenced,
    PG_reserved,
)
from numa_sim.state.event_codes import EVENTS
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

TASK = 2
ENTRY_BITS = 10
TASK_SIZE_VPN = 0xC0000
_FLAGS = {
    "L": PG_locked, "R": PG_referenced, "D": PG_dirty, "U": PG_lru, "A": PG_active, "W": PG_launder, "X": PG_reserved
}  # fmt: skip
# Stand-ins for address spaces whose writepage behaves as a page of the trace wants it: (kind, refuses, io_async).
_SWAP, _FILE = KIND_SWAP, KIND_FILE
_METHODS = {
    ("fileN", 0): (2, _FILE, WRITEPAGE_NONE),
    ("fileW", WRITEPAGE_SYNC): (3, _FILE, WRITEPAGE_SYNC),
    ("fileW", WRITEPAGE_ASYNC): (4, _FILE, WRITEPAGE_ASYNC),
    ("fileW", WRITEPAGE_REFUSE): (5, _FILE, WRITEPAGE_REFUSE),
    ("swap", WRITEPAGE_SYNC): (MAPPING_SWAP, _SWAP, WRITEPAGE_SYNC),
    ("swap", WRITEPAGE_ASYNC): (6, _SWAP, WRITEPAGE_ASYNC),
    ("swap", WRITEPAGE_REFUSE): (7, _SWAP, WRITEPAGE_REFUSE),
}
_LOGGED = {
    "writepage", "wait_on_page", "leave_page_cache", "leave_swap_cache", "freed", "kmem_cache_reap",
    "shrink_dcache", "shrink_icache", "try_to_release_page",
}  # fmt: skip

_free_pages = entry(buddy.free_pages)
_add_block = entry(free_list.add_block)
_del_block = entry(free_list.del_block)
_toggle = entry(buddy._toggle)
_get_swap_page = entry(swapfile.get_swap_page)
_swap_duplicate = entry(swapfile.swap_duplicate)
_swap_free = entry(swapfile.swap_free)
_mmlist_add = entry(swap_out.mmlist_add)
_swap_out = entry(swap_out.swap_out)
_unlock_page = entry(filemap.unlock_page)
_page_cache_release = entry(filemap.page_cache_release)
_delta_nr_cache_pages = entry(lru_counters.delta_nr_cache_pages)
_lru_cache_add = entry(swap.lru_cache_add)
_PAGE_OPS = {name: entry(getattr(swap, name)) for name in ("mark_page_accessed", "activate_page", "lru_cache_del")}
_PAGE_OPS["lru_cache_add"] = _lru_cache_add
_refill_inactive = entry(vmscan.refill_inactive)
_shrink_cache_begin = entry(vmscan.shrink_cache_begin)
_shrink_caches_begin = entry(vmscan.shrink_caches_begin)
_reclaim_begin = entry(vmscan.reclaim_begin)
_reclaim_run = entry(vmscan.reclaim_run)
_need_balance = entry(vmscan.check_classzone_need_balance)


def bare_node(zones: list[list[int]], swap_slots: int, mms: int = 8) -> Kernel:
    """A machine of one node whose zones are [start, end) frames, all free, with one swap area; events recorded."""
    frames = max(end for _, end in zones)
    sizes = Sizes(
        nodes=1, cpus=1, frames=frames, mms=mms, vmas=64, tables=256, table_entries=1 << ENTRY_BITS,
        swap_slots=swap_slots + 1, io_ring=256, events=1 << 16, section_shift=0,
    )  # fmt: skip
    k = new_kernel(sizes)
    vm = k.vm[0]
    vm.levels, vm.entry_bits, vm.task_size_vpn = 2, ENTRY_BITS, TASK_SIZE_VPN
    vm.record_events, vm.swapfile_cluster, vm.current_task = 1, 0, TASK
    k.tasks[TASK].pid = 5
    at = 0
    for z, (start, end) in enumerate(zones):
        zone = k.zones[z]
        zone.index, zone.start_pfn, zone.size = z, start, end - start
        for order in range(MAX_ORDER - 1):
            zone.map_start[order] = at
            at += (zone.size >> (order + 1)) + 1
        k.section_zone[start:end] = z
        for pfn in range(start, end):
            k.pages[pfn].count = 1
            _free_pages(k, pfn, 0)
    swapon(k, swap_slots + 1)
    vm.events_used = 0
    return k


def take_page(k: Kernel, pfn: int) -> None:
    """Allocate this very frame: split the free block that holds it."""
    z = int(k.section_zone[pfn])
    zone = k.zones[z]
    for order in range(MAX_ORDER):
        block = next((b for b in buddy.free_blocks(k, z, order) if b <= pfn < b + (1 << order)), None)
        if block is not None:
            break
    else:
        raise AssertionError(f"frame {pfn} is not free")
    _del_block(k, z, block, order)
    if order < MAX_ORDER - 1:
        _toggle(k, z, block - int(zone.start_pfn), order)
    for half in reversed(range(order)):
        upper = block + (1 << half)
        other, block = (block, upper) if pfn >= upper else (upper, block)
        _add_block(k, z, other, half)
        _toggle(k, z, other - int(zone.start_pfn), half)
    zone.free_pages -= 1
    k.pages[pfn].count = 1
    k.pages[pfn].order = 0


class Replay:
    """The model of one sequence: `step` runs a command and compares."""

    def __init__(self, init: Command) -> None:
        args = init.args
        self.k = bare_node(args["zones"], args["swap_slots"])
        vm = self.k.vm[0]
        for name in (
            "vm_passes",
            "vm_cache_scan_ratio",
            "vm_mapped_ratio",
            "vm_lru_balance_ratio",
            "vm_vfs_scan_ratio",
        ):
            setattr(vm, name, args[name])
        for z, marks in enumerate(args["watermarks_high"]):
            for index, high in enumerate(marks):
                self.k.zones[z].watermarks[index, WMARK_HIGH] = high or 0
        for at, kind, method in _METHODS.values():
            self.k.mappings[at].kind, self.k.mappings[at].writepage = kind, method
        self.methods: dict[int, tuple[int, int]] = {}
        self.vmas_used = 0
        self.rows_used = 0

    # Commands --------------------------------------------------------------------------------------------------------

    def step(self, command: Command) -> None:
        """Run one command; compare its result, log and state."""
        vm = self.k.vm[0]
        vm.events_used = 0
        result = getattr(self, command.op, self.page_op)(command)
        command.check("result", result, command.result)
        golden_log = command.log
        if not any(line[0] == "omitted" for line in golden_log):
            command.check("log", self.log(), golden_log)
        for field, value in command.state.items():
            command.check(field, getattr(self, f"show_{field}")(value), value)

    def init(self, command: Command) -> None:
        pass

    def page_op(self, command: Command) -> None:
        pfn = command.args["pfn"]
        page = self.k.pages[pfn]
        op = command.op
        if op in _PAGE_OPS:
            _PAGE_OPS[op](self.k, pfn)
        elif op in ("set_referenced", "set_dirty", "lock"):
            page.flags |= {"set_referenced": PG_referenced, "set_dirty": PG_dirty, "lock": PG_locked}[op]
        elif op == "unlock":
            _unlock_page(self.k, pfn)
        elif op == "get":
            page.count += 1
        elif op == "put":
            _page_cache_release(self.k, pfn)
        elif op == "buffers_clean":
            if page.buffers != BUFFERS_NONE:
                page.buffers = BUFFERS_CLEAN
        elif op == "writepage_ok":
            _, io_async = self.methods.get(pfn, (0, 0))
            self.methods[pfn] = (0, io_async)
            self.set_method(pfn)
        else:
            raise AssertionError(f"unknown command {op}")

    def set_method(self, pfn: int) -> None:
        """Give the page the stand-in address space whose writepage does what its attributes say."""
        page = self.k.pages[pfn]
        name = self.mapping_name(pfn)
        if name is None:
            return
        refuses, io_async = self.methods.get(pfn, (0, 0))
        method = WRITEPAGE_REFUSE if refuses else WRITEPAGE_ASYNC if io_async else WRITEPAGE_SYNC
        page.mapping = _METHODS[name, 0 if name == "fileN" else method][0]

    def mapping_name(self, pfn: int) -> str | None:
        at = self.k.pages[pfn].mapping
        return next((name for (name, _), (index, _, _) in _METHODS.items() if index == at), None)

    def add(self, command: Command) -> None:
        args = command.args
        k, pfn, kind = self.k, args["pfn"], args["kind"]
        take_page(k, pfn)
        page = k.pages[pfn]
        self.methods[pfn] = (args["writepage_refuses"], args["io_async"])
        if kind != "buffer":
            self.give_mapping(pfn, kind)
        if kind == "swap":
            self.give_slot(pfn, args["slot_count"])
        if args["buffers"]:
            page.buffers = BUFFERS_CLEAN + args["buffers_need"]
            page.count += kind != "buffer"
        page.count += args["extra_refs"]
        if args["dirty"]:
            page.flags |= PG_dirty
        _lru_cache_add(k, pfn)

    def give_mapping(self, pfn: int, kind: str) -> None:
        """Put the page into the stand-in address space for its kind."""
        k, page = self.k, self.k.pages[pfn]
        page.mapping = _METHODS[kind, 0 if kind == "fileN" else WRITEPAGE_SYNC][0]
        k.mappings[page.mapping].nrpages += 1
        self.set_method(pfn)
        _delta_nr_cache_pages(k, pfn, 1)

    def give_slot(self, pfn: int, slot_count: int) -> None:
        """Let the page cache the lowest free slot, which has so many uses."""
        k, page = self.k, self.k.pages[pfn]
        page.index = _get_swap_page(k)
        k.swap_cache[page.index >> 8] = pfn + 1
        for _ in range(slot_count - 1):
            _swap_duplicate(k, int(page.index))

    def new_mm(self, command: Command) -> None:
        k, mm = self.k, command.args["id"] + 1
        this = k.mms[mm]
        this.used, this.mmap_cache, this.pgd = 1, NIL, self.new_row()
        before = NIL
        for start, end, flags in command.args["vmas"]:
            vma = self.vmas_used
            self.vmas_used += 1
            area = k.vmas[vma]
            area.vm_start, area.vm_end, area.vm_flags = start >> PAGE_SHIFT, end >> PAGE_SHIFT, flags
            area.vm_next, area.vm_mm = NIL, mm
            if before == NIL:
                this.mmap = vma
            else:
                k.vmas[before].vm_next = vma
            before = vma
        _mmlist_add(k, mm, int(k.mms[0].mmlist_prev))

    def new_row(self) -> int:
        self.rows_used += 1
        return self.rows_used - 1

    def entry_of(self, args: dict[str, Any]) -> tuple[int, int]:
        """Where the PTE of args' address is, its table made if need be."""
        mm = self.k.mms[args["mm"] + 1]
        vpn = args["addr"] >> PAGE_SHIFT
        upper = vpn >> ENTRY_BITS
        if self.k.tables[mm.pgd, upper] == 0:
            self.k.tables[mm.pgd, upper] = self.new_row() << PAGE_SHIFT | PTE_TABLE
        return int(self.k.tables[mm.pgd, upper] >> PAGE_SHIFT), vpn & ((1 << ENTRY_BITS) - 1)

    def map_anon(self, command: Command) -> None:
        take_page(self.k, command.args["pfn"])
        self.methods.pop(command.args["pfn"], None)
        if command.args["reserved"]:
            self.k.pages[command.args["pfn"]].flags |= PG_reserved
        self.map_page(command.args)

    def map_shared(self, command: Command) -> None:
        self.k.pages[command.args["pfn"]].count += 1
        self.map_page(command.args)

    def map_page(self, args: dict[str, Any]) -> None:
        row, index = self.entry_of(args)
        young, dirty = PTE_ACCESSED * args["young"], PTE_DIRTY * args["dirty"]
        self.k.tables[row, index] = args["pfn"] << PAGE_SHIFT | PTE_PRESENT | young | dirty
        self.k.table_info[row].used += 1
        self.k.mms[args["mm"] + 1].rss += 1

    def touch(self, command: Command) -> None:
        row, index = self.entry_of(command.args)
        self.k.tables[row, index] |= PTE_ACCESSED | (PTE_DIRTY if command.args["write"] else 0)

    def drop_swap_pte(self, command: Command) -> None:
        row, index = self.entry_of(command.args)
        _swap_free(self.k, int(self.k.tables[row, index]))
        self.k.tables[row, index] = 0
        self.k.table_info[row].used -= 1

    def refill_inactive(self, command: Command) -> None:
        _refill_inactive(self.k, command.args["nr_pages"], command.args["classzone"])

    def run_reclaim(self) -> int:
        """Run to the end; whatever it waits for is unlocked, as in the recorder's stub."""
        task = self.k.tasks[TASK]
        while (status := int(_reclaim_run(self.k, TASK))) == RECLAIM_WAIT:
            _unlock_page(self.k, int(task.wait_pfn))
        return status

    def shrink_cache(self, command: Command) -> dict[str, int]:
        args = command.args
        begin = _shrink_cache_begin if command.op == "shrink_cache" else _shrink_caches_begin
        self.k.vm[0].slab_reap = args["slab_reap"]
        begin(self.k, TASK, args["classzone"], args["gfp"], args["nr_pages"], args["failed_swapout"])
        assert self.run_reclaim() == RECLAIM_DONE
        task = self.k.tasks[TASK]
        return {"nr_pages": int(task.reclaim_nr), "failed_swapout": int(task.reclaim_failed_swapout)}

    shrink_caches = shrink_cache

    def try_to_free_pages_zone(self, command: Command) -> int:
        assert command.args["gfp"] & GFP_WAIT_BIT
        self.k.vm[0].slab_reap = command.args["slab_reap"]
        _reclaim_begin(self.k, TASK, command.args["classzone"], command.args["gfp"])
        return int(self.run_reclaim() == RECLAIM_DONE)

    def check_classzone_need_balance(self, command: Command) -> int:
        return int(_need_balance(self.k, command.args["classzone"]))

    def swap_out(self, command: Command) -> int:
        return int(_swap_out(self.k, command.args["classzone"]))

    # What can be seen ------------------------------------------------------------------------------------------------

    def log(self) -> list[list[Any]]:
        lines: list[list[Any]] = []
        for event in self.k.events[: self.k.vm[0].events_used].tolist():
            _, a, b, code, _ = event
            name = EVENTS[code]
            if name in _LOGGED:
                lines.append([name, a, b] if name == "try_to_release_page" else [name, a])
        return lines

    def show_nr_active(self, _: Any) -> int:
        return int(self.k.vm[0].nr_active_pages)

    def show_nr_inactive(self, _: Any) -> int:
        return int(self.k.vm[0].nr_inactive_pages)

    def show_zones(self, _: Any) -> list[list[int]]:
        names = ("free_pages", "nr_active_pages", "nr_inactive_pages", "nr_cache_pages")
        return [[int(getattr(self.k.zones[z], name)) for name in names] for z in range(NR_ZONES)]

    def show_free_slots(self, _: Any) -> int:
        return int(self.k.vm[0].nr_swap_pages)

    def chain(self, pfn: int) -> list[int]:
        found = []
        while pfn != NIL:
            found.append(pfn)
            pfn = int(self.k.pages[pfn].lru_next)
        return found

    def show_active(self, _: Any) -> list[int]:
        return self.chain(int(self.k.vm[0].active_head))

    def show_inactive(self, _: Any) -> list[int]:
        return self.chain(int(self.k.vm[0].inactive_head))

    def show_pages(self, _: Any) -> list[list[Any]]:
        found = []
        for pfn in range(len(self.k.pages)):
            page = self.k.pages[pfn]
            if page.count > 0:
                name = self.mapping_name(pfn)
                flags = "".join(letter for letter, bit in _FLAGS.items() if page.flags & bit)
                slot = page.index >> 8 if name == "swap" else -1
                found.append([pfn, page.count, flags, name, int(page.buffers != BUFFERS_NONE), slot])
        return found

    def show_slots(self, _: Any) -> list[list[int]]:
        return [[slot, count] for slot, count in enumerate(self.k.swap_map.tolist()) if slot and count]

    def show_swap_mm(self, _: Any) -> int:
        return int(self.k.vm[0].swap_mm) - 1

    def show_mms(self, golden: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = []
        for want in golden:
            mm = self.k.mms[want["id"] + 1]
            mine = {"id": want["id"], "rss": mm.rss, "swap_cnt": 0, "swap_address": mm.swap_address << PAGE_SHIFT}
            if "ptes" in want:
                mine["ptes"] = self.ptes(int(mm.pgd))
            found.append(mine)
        return found

    def ptes(self, pgd: int) -> list[list[Any]]:
        found: list[list[Any]] = []
        for upper, above in enumerate(self.k.tables[pgd].tolist()):
            if above == 0:
                continue
            for index, pte in enumerate(self.k.tables[above >> PAGE_SHIFT].tolist()):
                address = (upper << ENTRY_BITS | index) << PAGE_SHIFT
                if pte & PTE_PRESENT:
                    found.append([address, "p", pte >> PAGE_SHIFT, pte >> 5 & 1, pte >> 6 & 1])
                elif pte:
                    found.append([address, "s", pte >> 8])
        return found
