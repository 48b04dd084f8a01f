"""A small machine with files on disks, driven by hand: the tests are its devices and its scheduler."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from numa_sim.compiled import entry
from numa_sim.kernel import bdflush, file_operations, inode, memory, msync, page_io, truncate, vmscan
from numa_sim.kernel.bootmem import boot
from numa_sim.kernel.buddy import check_bug
from numa_sim.kernel.debug_problems import PROBLEMS
from numa_sim.kernel.debug_vm import check_frames, check_zones
from numa_sim.kernel.file_table import open_file
from numa_sim.kernel.mmap import mm_alloc
from numa_sim.kernel.numa import alloc_after_reclaim
from numa_sim.kernel.swapon import swapon
from numa_sim.state.answers import (
    ALLOC_FAIL,
    ALLOC_RECLAIM,
    FAULT_RECLAIM,
    FAULT_WAIT,
    FILE_DONE,
    FILE_FAILED,
    FILE_RECLAIM,
    FILE_WAIT,
    RECLAIM_DONE,
    RECLAIM_FAILED,
    RECLAIM_WAIT,
)
from numa_sim.state.constants import BUFFERS_BUSY, NIL, PAGE_SHIFT, PTE_PRESENT, TASK_RUNNING, PG_locked
from numa_sim.state.counters import VMSTAT
from numa_sim.state.event_codes import EV_FILE_READ
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

TASK = 2
PAGE = 4096
BLOCKS = 4096

read_begin = entry(file_operations.file_read_begin)
write_begin = entry(file_operations.file_write_begin)
fsync_begin = entry(file_operations.file_fsync_begin)
truncate_begin = entry(file_operations.file_truncate_begin)
file_run = entry(file_operations.file_run)
filemap_sync = entry(msync.filemap_sync)
invalidate = entry(truncate.invalidate_inode_pages)
bdflush_step = entry(bdflush.bdflush_step)
kupdate_step = entry(bdflush.kupdate_step)
handle_mm_fault = entry(memory.handle_mm_fault)
_reclaim_begin = entry(vmscan.reclaim_begin)
_reclaim_run = entry(vmscan.reclaim_run)
_alloc_after_reclaim = entry(alloc_after_reclaim)
_end_request = entry(page_io.end_request)
_check_frames = entry(check_frames)
_check_zones = entry(check_zones)


class FileMachine:
    """One node, one CPU, one task; disk 0 holds files, disk 1 swap (if any).  I/O ends when somebody waits for it."""

    def __init__(
        self, mib: int = 4, swap_pages: int = 0, blocks: int = BLOCKS, profile: str = "linux-2.4.37", **sizes: Any
    ) -> None:
        frames = mib * 256
        usual = Sizes(
            nodes=1, cpus=1, frames=frames, tasks=4, mms=4, vmas=64, mappings=10, swap_slots=max(1, swap_pages),
            events=1 << 14, files=16, extents=512, disks=2, disk_blocks=blocks, io_ring=256,
        )  # fmt: skip
        k = self.k = new_kernel(replace(usual, **sizes))
        boot(k, [(0, frames)], "x86-64", profile, "strict24", [[10]])
        k.vm[0].record_events = 1
        inode.add_disk(k, 0, blocks)
        if swap_pages:
            swapon(k, swap_pages, device=1)
        k.tasks[TASK].state = TASK_RUNNING
        k.vm[0].current_task, k.vm[0].current_cpu = TASK, 0
        k.cpus[0].task = TASK
        mm_alloc(k, TASK)
        k.cpus[0].mm = k.tasks[TASK].mm

    # Files ---------------------------------------------------------------------------------------------------------

    def file(self, pages: int = 0, first_tag: int = 0, block: int | None = None) -> int:
        """An open file of `pages` pages in one extent, page i with the contents `first_tag` + i."""
        k = self.k
        start = int(k.disks[0].next_block) if block is None else block
        mapping = inode.new_inode(k, 0, pages * PAGE, [(0, pages, start)] if pages else [])
        if first_tag:
            k.disk_tags[start : start + pages] = np.arange(first_tag, first_tag + pages)
        return open_file(k, mapping)

    def mapping(self, file: int) -> int:
        return int(self.k.files[file].f_mapping)

    def run(self) -> int:
        """`file_run` to its end, as the processes would."""
        k, task = self.k, self.k.tasks[TASK]
        while True:
            answer = int(file_run(k, TASK))
            if answer in (FILE_DONE, FILE_FAILED):
                return answer
            if answer == FILE_WAIT:
                self.wait(int(task.wait_pfn))
            elif answer == FILE_RECLAIM:
                self.reclaim()
            else:
                self.finish_io()

    def read(self, file: int, pos: int, length: int) -> list[int]:
        """Contents of the pages read."""
        k = self.k
        k.vm[0].events_used = 0
        read_begin(k, TASK, file, pos, length)
        assert self.run() == FILE_DONE
        events = k.events[: int(k.vm[0].events_used)]
        return [int(e.b) for e in events if e.code == EV_FILE_READ]

    def write(self, file: int, pos: int, length: int) -> int:
        write_begin(self.k, TASK, file, pos, length)
        return self.run()

    def fsync(self, file: int) -> int:
        fsync_begin(self.k, TASK, file)
        return self.run()

    def truncate(self, file: int, size: int) -> int:
        truncate_begin(self.k, TASK, file, size)
        return self.run()

    # Memory --------------------------------------------------------------------------------------------------------

    def fault(self, vpn: int, write: int) -> int:
        """A page fault to its end."""
        while True:
            status = int(handle_mm_fault(self.k, TASK, vpn, write))
            if status == FAULT_WAIT:
                self.wait(int(self.k.tasks[TASK].wait_pfn))
            elif status == FAULT_RECLAIM:
                self.reclaim()
            else:
                return status

    def reclaim(self) -> None:
        """Direct reclaim and the rest of the allocation."""
        k, task = self.k, self.k.tasks[TASK]
        answer = ALLOC_RECLAIM
        while answer == ALLOC_RECLAIM:
            _reclaim_begin(k, TASK, int(task.reclaim_zone), int(task.reclaim_gfp))
            while (status := int(_reclaim_run(k, TASK))) not in (RECLAIM_DONE, RECLAIM_FAILED):
                if status == RECLAIM_WAIT:
                    self.wait(int(task.wait_pfn))
                else:
                    self.finish_io()
            answer = int(_alloc_after_reclaim(k, TASK, int(status == RECLAIM_DONE)))
        task.got_pfn = answer if answer >= 0 else NIL
        task.alloc_failed = int(answer == ALLOC_FAIL)

    def take(self, pages: int) -> list[int]:
        """Free pages a try_to_free_pages run at a time until `pages` fewer are cached; the pages freed each time."""
        freed = []
        zone = int(self.k.zonelists[0, 2, 0])
        for _ in range(pages):
            before = int(self.k.zones["free_pages"].sum())
            _reclaim_begin(self.k, TASK, zone, 0x1F2)
            while (status := int(_reclaim_run(self.k, TASK))) not in (RECLAIM_DONE, RECLAIM_FAILED):
                if status == RECLAIM_WAIT:
                    self.wait(int(self.k.tasks[TASK].wait_pfn))
                else:
                    self.finish_io()
            freed.append(int(self.k.zones["free_pages"].sum()) - before)
        return freed

    # Devices -------------------------------------------------------------------------------------------------------

    def requests(self) -> list[tuple[int, int, int, int]]:
        """Queued transfers, oldest first: (op, device, block, pfn)."""
        vm = self.k.vm[0]
        ring = [self.k.io[at % len(self.k.io)] for at in range(int(vm.io_head), int(vm.io_tail))]
        return [(int(r.op), int(r.device), int(r.block), int(r.pfn)) for r in ring]

    def finish_io(self) -> int:
        """All queued transfers end, in order; how many."""
        done = self.requests()
        self.k.vm[0].io_head = self.k.vm[0].io_tail
        for op, _device, _block, pfn in done:
            _end_request(self.k, op, np.array([pfn], np.int64))
        return len(done)

    def wait(self, pfn: int) -> None:
        page = self.k.pages[pfn]
        assert page.flags & PG_locked or page.buffers >= BUFFERS_BUSY, "waits for a page nobody will unlock"
        self.finish_io()
        assert not page.flags & PG_locked
        assert page.buffers < BUFFERS_BUSY

    # What can be seen ----------------------------------------------------------------------------------------------

    def counter(self, name: str) -> int:
        return int(self.k.vmstat[:, VMSTAT.index(name)].sum())

    def cached(self, file: int) -> dict[int, int]:
        """Page index -> pfn of what is cached of a file."""
        mapping = self.mapping(file)
        pages = self.k.pages
        found = np.flatnonzero(pages["mapping"] == mapping)
        return {int(pages[pfn].index): int(pfn) for pfn in found}

    def on_disk(self, file: int) -> dict[int, int]:
        """Page index -> contents of its block."""
        k = self.k
        found = {}
        for index, length, block in inode.extents_of(k, self.mapping(file)):
            for i in range(length):
                found[index + i] = int(k.disk_tags[block + i])
        return found

    def pte(self, vpn: int) -> int:
        k = self.k
        row = int(k.mms[k.tasks[TASK].mm].pgd)
        for level in range(int(k.vm[0].levels) - 1, 0, -1):
            upper = int(k.tables[row, (vpn >> (level * int(k.vm[0].entry_bits))) & 511])
            if not upper:
                return 0
            row = upper >> PAGE_SHIFT
        return int(k.tables[row, vpn & 511])

    def mapped_tag(self, vpn: int) -> int:
        pte = self.pte(vpn)
        assert pte & PTE_PRESENT
        return int(self.k.tags[pte >> PAGE_SHIFT])

    def check(self) -> None:
        """Everything debug_vm knows."""
        for problem, where in (_check_zones(self.k), _check_frames(self.k)):
            assert problem == 0, f"{PROBLEMS[problem]}: {where}"
        check_bug(self.k)


def sizes_of(k: Kernel, mappings: Iterable[int]) -> list[int]:
    """File sizes in bytes."""
    return [int(k.mappings[m].i_size) for m in mappings]
