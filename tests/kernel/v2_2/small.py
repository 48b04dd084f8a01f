"""A small machine of 2.2 without a clock: what its tasks wait for happens at once, as the processes would do it."""

from __future__ import annotations

from typing import Any

from numa_sim.compiled import entry
from numa_sim.kernel import memory, numa, page_io, pgtable
from numa_sim.kernel.bootmem import boot
from numa_sim.kernel.buddy import check_bug
from numa_sim.kernel.debug_problems import PROBLEMS
from numa_sim.kernel.debug_vm import check_frames, check_zones
from numa_sim.kernel.inode import add_disk
from numa_sim.kernel.mmap import do_mmap, mm_alloc
from numa_sim.kernel.swapon import swapon
from numa_sim.kernel.v2_2 import vmscan
from numa_sim.state.answers import (
    ALLOC_FAIL,
    ALLOC_RECLAIM,
    FAULT_MAJOR,
    FAULT_MINOR,
    FAULT_RECLAIM,
    FAULT_WAIT,
    RECLAIM_DONE,
    RECLAIM_FAILED,
    RECLAIM_WAIT,
)
from numa_sim.state.constants import (
    KSWAPD,
    NIL,
    PAGE_SHIFT,
    PF_KTHREAD,
    PF_MEMALLOC,
    PTE_ACCESSED,
    PTE_DIRTY,
    PTE_PRESENT,
    PTE_RW,
    TASK_RUNNING,
)
from numa_sim.state.counters import VMSTAT
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

TASK = 2
MIB = 256
BASE_VPN = 0x1000

_handle_mm_fault = entry(memory.handle_mm_fault)
_alloc_after_reclaim = entry(numa.alloc_after_reclaim)
_leaf_row = entry(pgtable.leaf_row)
_end_read = entry(page_io.end_swap_read)
_end_write = entry(page_io.end_swap_write)
_begin = entry(vmscan.try_to_free_pages_begin)
_run = entry(vmscan.reclaim_run)
_check_zones = entry(check_zones)
_check_frames = entry(check_frames)


def booted(nodes: tuple[int, ...] = (4,), arch: str = "x86-64", slots: int = 0) -> Kernel:
    """A kernel with `nodes` MiB on each node, that never ran."""
    placed, start = [], 0
    for mib in nodes:
        placed.append((start, mib * MIB))
        start += -(-mib * MIB // 512) * 512
    k = new_kernel(
        Sizes(nodes=len(nodes), cpus=1, frames=start, mms=8, vmas=32, swap_slots=slots + 1, disk_blocks=1024)
    )
    boot(k, placed, arch, "linux-2.2", "strict24", [[10] * len(nodes)] * len(nodes))
    add_disk(k, 0, 1024)
    return k


class Small:
    """One node, one CPU; task TASK has `pages` pages mapped from BASE_VPN on; every store makes a new tag."""

    def __init__(self, mib: int = 4, slots: int = 8 * MIB, pages: int = 6 * MIB, tasks: int = 1) -> None:
        self.k = k = booted((mib,), slots=slots)
        if slots:
            swapon(k, slots + 1)
        k.tasks[KSWAPD]["flags"] = PF_MEMALLOC | PF_KTHREAD
        self.mms = {}
        for t in range(TASK, TASK + tasks):
            k.tasks[t].state, k.tasks[t].pid = TASK_RUNNING, 100 + t
            self.enter(t)
            self.mms[t] = int(mm_alloc(k, t))
            assert do_mmap(k, t, pages, BASE_VPN) == BASE_VPN
        self.contents: dict[tuple[int, int], int] = {}
        self.stores = 0
        self.enter(TASK)

    def enter(self, task: int) -> None:
        self.k.vm[0].current_task = task

    def place(self, page: int, task: int = TASK) -> tuple[int, int]:
        """Row and index of a page's PTE; row NIL if there is no table."""
        vpn, mm = BASE_VPN + page, self.mms[task]
        row = int(_leaf_row(self.k, mm, vpn)) if self.k.mms[mm].pgd != NIL else NIL
        return row, vpn & ((1 << int(self.k.vm[0].entry_bits)) - 1)

    def pte(self, page: int, task: int = TASK) -> int:
        row, index = self.place(page, task)
        return 0 if row == NIL else int(self.k.tables[row, index])

    def set_pte(self, page: int, value: int, task: int = TASK) -> None:
        row, index = self.place(page, task)
        self.k.tables[row, index] = value

    def frame(self, page: int, task: int = TASK) -> int:
        """The frame a page is mapped to."""
        assert self.pte(page, task) & PTE_PRESENT
        return self.pte(page, task) >> PAGE_SHIFT

    def page(self, page: int, task: int = TASK) -> Any:
        return self.k.pages[self.frame(page, task)]

    def touch(self, page: int, write: int, task: int = TASK) -> None:
        """One access; a read must find what was stored last."""
        k = self.k
        while not (pte := self.pte(page, task)) & PTE_PRESENT or (write and not pte & PTE_RW):
            self.fault(page, write, task)
        row, index = self.place(page, task)
        k.tables[row, index] |= PTE_ACCESSED | (PTE_DIRTY if write else 0)
        assert k.tags[pte >> PAGE_SHIFT] == self.contents.get((task, page), 0), f"page {page} has lost its contents"
        if write:
            self.stores += 1
            k.tags[pte >> PAGE_SHIFT] = self.contents[task, page] = self.stores

    def try_fault(self, page: int, write: int, task: int = TASK) -> int:
        """One call of the fault's rule."""
        self.enter(task)
        return int(_handle_mm_fault(self.k, task, BASE_VPN + page, write))

    def fault(self, page: int, write: int, task: int = TASK) -> int:
        """A whole fault: FAULT_MINOR or FAULT_MAJOR, or why it failed."""
        while (status := self.try_fault(page, write, task)) in (FAULT_RECLAIM, FAULT_WAIT):
            if status == FAULT_WAIT:
                self.finish_io()
            else:
                self.finish_allocation(task)
        assert status in (FAULT_MINOR, FAULT_MAJOR), status
        return status

    def finish_allocation(self, task: int = TASK) -> None:
        record = self.k.tasks[task]
        answer = int(record.alloc_wants)
        while answer < ALLOC_FAIL:
            freed = int(answer == ALLOC_RECLAIM and self.reclaim(task, int(record.alloc_gfp)) == RECLAIM_DONE)
            self.enter(task)
            answer = int(_alloc_after_reclaim(self.k, task, freed))
            record.got_pfn = answer if answer >= 0 else NIL
        record.alloc_failed = int(answer == ALLOC_FAIL)

    def reclaim(self, task: int, gfp: int) -> int:
        """One do_try_to_free_pages; RECLAIM_DONE or RECLAIM_FAILED."""
        self.enter(task)
        _begin(self.k, task, gfp)
        while (status := int(_run(self.k, task))) not in (RECLAIM_DONE, RECLAIM_FAILED):
            if status == RECLAIM_WAIT:
                self.finish_io()
        return status

    def finish_io(self) -> None:
        """The disk does everything that was asked of it."""
        k, vm = self.k, self.k.vm[0]
        while vm.io_head != vm.io_tail:
            request = k.io[vm.io_head % len(k.io)]
            vm.io_head += 1
            (_end_write if request.op else _end_read)(k, int(request.pfn))

    def count(self, name: str) -> int:
        return int(self.k.vmstat[:, VMSTAT.index(name)].sum())

    def check(self) -> None:
        check_bug(self.k)
        for rule in (_check_zones, _check_frames):
            problem, where = rule(self.k)
            assert problem == 0, f"{PROBLEMS[problem]} at {where}"
