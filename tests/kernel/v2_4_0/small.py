"""A small machine of 2.4.0 without a clock: what its tasks wait for happens at once, as the processes would do it."""

from __future__ import annotations

from typing import Any

from numa_sim.compiled import entry
from numa_sim.kernel import memory, numa, page_io, pgtable
from numa_sim.kernel.bootmem import boot
from numa_sim.kernel.buddy import check_bug
from numa_sim.kernel.debug_problems import PROBLEMS
from numa_sim.kernel.debug_vm import check_frames, check_zones
from numa_sim.kernel.mmap import do_mmap, mm_alloc
from numa_sim.kernel.swapon import swapon
from numa_sim.kernel.v2_4_0 import oom_kill, pressure, reclaim_page, vmscan
from numa_sim.state.answers import (
    ALLOC_FAIL,
    ALLOC_RECLAIM,
    ALLOC_WAIT_KSWAPD,
    FAULT_MINOR,
    FAULT_OOM,
    FAULT_RECLAIM,
    FAULT_WAIT,
    RECLAIM_WAIT,
    RECLAIM_YIELD,
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
    PG_locked,
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
_reclaim_begin = entry(vmscan.reclaim_begin)
_reclaim_run = entry(vmscan.reclaim_run)
_try_to_free_pages_begin = entry(vmscan.try_to_free_pages_begin)
_refill_inactive_scan = entry(vmscan.refill_inactive_scan)
_kreclaimd_round = entry(reclaim_page.kreclaimd_round)
_free_shortage = entry(pressure.free_shortage)
_inactive_shortage = entry(pressure.inactive_shortage)
_recalculate_vm_stats = entry(pressure.recalculate_vm_stats)
_out_of_memory = entry(oom_kill.out_of_memory)
_oom_kill = entry(oom_kill.oom_kill)
_check_zones = entry(check_zones)
_check_frames = entry(check_frames)


class Small:
    """One node and one CPU; task TASK has `pages` pages mapped from BASE_VPN on; every store makes a new tag."""

    def __init__(self, mib: int = 4, slots: int = 8 * MIB, pages: int = 6 * MIB, nodes: int = 1) -> None:
        frames = mib * MIB
        sizes = Sizes(nodes=nodes, cpus=nodes, frames=nodes * frames, mms=4, vmas=16, swap_slots=slots + 1)
        self.k = k = new_kernel(sizes)
        distance = [[10 if i == j else 20 for j in range(nodes)] for i in range(nodes)]
        boot(k, [(i * frames, frames) for i in range(nodes)], "x86-64", "linux-2.4.0", "strict24", distance)
        k.cpus.node = range(nodes)
        if slots:
            swapon(k, slots + 1)
        k.tasks[KSWAPD]["flags"] = PF_MEMALLOC | PF_KTHREAD
        k.tasks[TASK].state, k.tasks[TASK].pid = TASK_RUNNING, 100
        self.enter(TASK)
        self.mm = int(mm_alloc(k, TASK))
        assert do_mmap(k, TASK, pages, BASE_VPN) == BASE_VPN
        self.contents = [0] * pages
        self.stores = 0
        self.waits = self.bdflush_calls = 0

    # The hardware ----------------------------------------------------------------------------------------------------

    def pte(self, page: int) -> int:
        row, index = self.place(page)
        return 0 if row == NIL else int(self.k.tables[row, index])

    def place(self, page: int) -> tuple[int, int]:
        vpn = BASE_VPN + page
        row = int(_leaf_row(self.k, self.mm, vpn)) if self.k.mms[self.mm].pgd != NIL else NIL
        return row, vpn & ((1 << int(self.k.vm[0].entry_bits)) - 1)

    def touch(self, page: int, write: int) -> None:
        """One access; a read must find what was stored last."""
        k = self.k
        pte = self.pte(page)
        while not pte & PTE_PRESENT or (write and not pte & PTE_RW):
            self.fault(page, write)
            if k.tasks[TASK].killed:
                return
            pte = self.pte(page)
        row, index = self.place(page)
        k.tables[row, index] |= PTE_ACCESSED | (PTE_DIRTY if write else 0)
        assert k.tags[pte >> PAGE_SHIFT] == self.contents[page], f"page {page} has lost its contents"
        if write:
            self.stores += 1
            self.contents[page] = int(k.tags[pte >> PAGE_SHIFT])
            k.tags[pte >> PAGE_SHIFT] = self.contents[page] = self.stores

    # A task's slow paths ---------------------------------------------------------------------------------------------

    def enter(self, task: int) -> None:
        self.k.vm[0].current_task = task

    def fault(self, page: int, write: int) -> None:
        status = int(_handle_mm_fault(self.k, TASK, BASE_VPN + page, write))
        while status != FAULT_MINOR:
            self.waits += 1
            if status == FAULT_RECLAIM:
                self.finish_allocation()
            else:
                assert status == FAULT_WAIT, "killed by a failed allocation" if status == FAULT_OOM else status
                assert self.k.pages[self.k.tasks[TASK].wait_pfn]["flags"] & PG_locked
                self.finish_io()
            if self.k.tasks[TASK].killed:
                return
            self.enter(TASK)
            status = int(_handle_mm_fault(self.k, TASK, BASE_VPN + page, write))
        self.daemons()

    def finish_allocation(self) -> None:
        k, task = self.k, self.k.tasks[TASK]
        answer = int(task.alloc_wants)
        while answer < ALLOC_FAIL:
            if answer == ALLOC_WAIT_KSWAPD:
                k.vm[0].kswapd_done_waiters = 1
                self.kswapd_round()
                k.vm[0].kswapd_done_waiters = 0
            elif answer == ALLOC_RECLAIM:
                self.enter(TASK)
                _reclaim_begin(k, TASK)
                self.run_reclaim(TASK)
            self.daemons()
            if task.killed:
                return
            self.enter(TASK)
            answer = int(_alloc_after_reclaim(k, TASK, 0))
        task.got_pfn = answer if answer >= 0 else NIL
        task.alloc_failed = int(answer == ALLOC_FAIL)

    def run_reclaim(self, t: int) -> None:
        while (status := int(_reclaim_run(self.k, t))) in (RECLAIM_WAIT, RECLAIM_YIELD):
            self.waits += status == RECLAIM_WAIT
            self.finish_io()

    # Daemons and devices ---------------------------------------------------------------------------------------------

    def daemons(self) -> None:
        """Who was woken runs, at once."""
        vm = self.k.vm[0]
        if vm.kreclaimd_wanted:
            vm.kreclaimd_wanted = 0
            self.enter(KSWAPD)
            _kreclaimd_round(self.k)
            vm.kreclaimd_asleep = 1
        if vm.kswapd_wanted:
            self.kswapd_round()
        self.bdflush_calls += int(vm.bdflush_wanted)
        vm.bdflush_wanted = 0
        self.enter(TASK)

    def kswapd_round(self) -> None:
        k, vm = self.k, self.k.vm[0]
        vm.kswapd_wanted = 0
        self.enter(KSWAPD)
        if _inactive_shortage(k) or _free_shortage(k):
            _try_to_free_pages_begin(k, KSWAPD, vmscan.GFP_KSWAPD_2_4_0, int(vm.kswapd_done_waiters > 0))
            self.run_reclaim(KSWAPD)
        _refill_inactive_scan(k, 6, 0)
        _recalculate_vm_stats(k)
        self.finish_io()
        if not _free_shortage(k) or not _inactive_shortage(k):
            vm.kswapd_asleep = 1
        elif _out_of_memory(k):
            _oom_kill(k)

    def finish_io(self) -> None:
        """The device: everything queued is done."""
        k, vm = self.k, self.k.vm[0]
        for at in range(int(vm.io_head), int(vm.io_tail)):
            request = k.io[at % len(k.io)]
            (_end_write if request.op else _end_read)(k, int(request.pfn))
        vm.io_head = vm.io_tail

    # What can be seen ------------------------------------------------------------------------------------------------

    def count(self, name: str) -> int:
        return int(self.k.vmstat[:, VMSTAT.index(name)].sum())

    def page(self, page: int) -> Any:
        """The record of the frame that holds a present page."""
        return self.k.pages[self.pte(page) >> PAGE_SHIFT]

    def check(self) -> None:
        """Everything the debug checker knows."""
        check_bug(self.k)
        for checked in (_check_zones(self.k), _check_frames(self.k)):
            assert checked == (0, 0), f"{PROBLEMS[checked[0]]}: {checked[1]}"


def zone_marks(k: Kernel) -> list[int]:
    """min, low and high of the first zone."""
    return [int(mark) for mark in k.zones[0].watermarks[0]]
