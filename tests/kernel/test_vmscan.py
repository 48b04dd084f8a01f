"""Reclaim as a machine that stops and goes on, with real swap I/O; each mechanism off and on."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from kernel.reclaim_replay import TASK, TASK_SIZE_VPN, Replay, bare_node, take_page

from numa_sim.compiled import entry
from numa_sim.kernel import page_io, swap_state, vmscan
from numa_sim.state.answers import RECLAIM_DONE, RECLAIM_FAILED, RECLAIM_WAIT, RECLAIM_YIELD
from numa_sim.state.constants import (
    GFP_HIGHUSER,
    IO_WRITE,
    NIL,
    PAGE_SHIFT,
    PTE_PRESENT,
    WRITEPAGE_SWAP,
    WRITEPAGE_SYNC,
    PG_locked,
)
from numa_sim.state.counters import PSWPOUT, SWAP_OUT_PTES
from numa_sim.state.kernel import Kernel

_begin = entry(vmscan.reclaim_begin)
_run = entry(vmscan.reclaim_run)
_end_write = entry(page_io.end_swap_write)
_end_read = entry(page_io.end_swap_read)
_read = entry(swap_state.read_swap_cache_async)
BASE_VPN = 0x8000


class _Init:
    """As much of a golden init command as `Replay` needs."""

    def __init__(self, frames: int) -> None:
        third = frames // 3
        self.args = {
            "zones": [[0, third], [third, 2 * third], [2 * third, frames]],
            "watermarks_high": [[9, 9, 9], [None, 9, 9], [None, None, 9]],
            "swap_slots": 500, "vm_passes": 60, "vm_cache_scan_ratio": 6, "vm_mapped_ratio": 100,
            "vm_lru_balance_ratio": 2, "vm_vfs_scan_ratio": 6,
        }  # fmt: skip


class _Command:
    def __init__(self, **args: Any) -> None:
        self.args = args


def machine(mapped: int = 240, frames: int = 300) -> Kernel:
    """One address space of `mapped` dirty, old anonymous pages; page i contains the tag 1000 + i."""
    replay = Replay(_Init(frames))  # type: ignore[arg-type]
    k = replay.k
    start = BASE_VPN << PAGE_SHIFT
    replay.new_mm(_Command(id=0, vmas=[[start, start + (mapped << PAGE_SHIFT), 0]]))  # type: ignore[arg-type]
    for i in range(mapped):
        args = {"mm": 0, "addr": start + (i << PAGE_SHIFT), "pfn": i, "young": 0, "dirty": 1, "reserved": 0}
        replay.map_anon(_Command(**args))  # type: ignore[arg-type]
        k.tags[i] = 1000 + i
    k.mappings[1].writepage = WRITEPAGE_SWAP
    k.vm[0].oom_killer = 0
    costs = k.costs[0]
    costs.scan_page_ns, costs.scan_pte_ns, costs.unmap_pte_ns, costs.submit_io_ns = 50, 20, 100, 500
    return k


def finish_io(k: Kernel) -> None:
    """The device: writes everything queued."""
    vm = k.vm[0]
    for at in range(int(vm.io_head), int(vm.io_tail)):
        request = k.io[at % len(k.io)]
        assert request.op == IO_WRITE
        _end_write(k, int(request.pfn))
    vm.io_head = vm.io_tail


def reclaim(k: Kernel, zone: int = 2) -> tuple[int, dict[int, int]]:
    """Run to the end, doing I/O when waited for; (answer, how often each intermediate answer came)."""
    _begin(k, TASK, zone, GFP_HIGHUSER)
    stops = {RECLAIM_WAIT: 0, RECLAIM_YIELD: 0}
    while (status := int(_run(k, TASK))) in stops:
        stops[status] += 1
        if status == RECLAIM_WAIT:
            assert k.pages[k.tasks[TASK].wait_pfn].flags & PG_locked
            finish_io(k)
    assert k.tasks[TASK].wait_pfn == NIL
    return status, stops


def state_of(k: Kernel) -> list[bytes]:
    vm = k.vm.copy()
    vm["reclaim_quantum_ns"] = 0
    arrays = (vm, k.pages, k.zones, k.tables, k.mms, k.swap_map, k.swap_cache, k.swap_tags, k.swap_info, k.vmstat, k.io)
    return [np.asarray(array).tobytes() for array in arrays]


@pytest.mark.row("S2-02")
def test_reclaim_moves_pages_to_swap_with_their_contents_and_frees_them() -> None:
    k = machine()
    free = int(k.zones["free_pages"].sum())
    status, stops = reclaim(k)
    assert status == RECLAIM_DONE
    assert stops[RECLAIM_WAIT] > 0
    assert int(k.zones["free_pages"].sum()) == free + 32
    finish_io(k)
    row = int(k.tables[k.mms[1].pgd, BASE_VPN >> 10] >> PAGE_SHIFT)
    swapped = 0
    for i in range(240):
        pte = int(k.tables[row, (BASE_VPN + i) & 1023])
        if pte & PTE_PRESENT:
            assert k.tags[pte >> PAGE_SHIFT] == 1000 + i
            continue
        cached = int(k.swap_cache[pte >> 8]) - 1
        assert (k.tags[cached] if cached >= 0 else k.swap_tags[pte >> 8]) == 1000 + i
        swapped += cached < 0
    assert swapped == 32
    assert k.vmstat[0, PSWPOUT] == k.swap_info[0].pages_written >= 32


@pytest.mark.parametrize("quantum_ns", [1, 333, 5000])
def test_stopping_on_the_way_changes_nothing(quantum_ns: int) -> None:
    straight, halting = machine(), machine()
    halting.vm[0].reclaim_quantum_ns = quantum_ns
    assert reclaim(straight)[0] == RECLAIM_DONE
    status, stops = reclaim(halting)
    assert status == RECLAIM_DONE
    assert stops[RECLAIM_YIELD] > 0
    assert straight.tasks[TASK].cost_ns == halting.tasks[TASK].cost_ns
    assert state_of(straight) == state_of(halting)


def test_without_pageout_nothing_is_unmapped_and_reclaim_fails() -> None:
    k = machine()
    k.vm[0].pageout = 0
    assert reclaim(k)[0] == RECLAIM_FAILED
    assert k.vmstat[0, SWAP_OUT_PTES] == 0
    assert k.mms[1].rss == 240
    k.vm[0].pageout = 1
    assert reclaim(k)[0] == RECLAIM_DONE
    assert k.vmstat[0, SWAP_OUT_PTES] > 0
    assert k.mms[1].rss < 240
    assert k.mms[1].swap_address <= TASK_SIZE_VPN


def test_a_ram_backed_area_is_written_at_once_for_cpu_time() -> None:
    k = machine()
    k.swap_info[0].writepage, k.swap_info[0].sync_ns = WRITEPAGE_SYNC, 1_000_000
    status, stops = reclaim(k)
    assert status == RECLAIM_DONE
    assert stops[RECLAIM_WAIT] == 0
    assert k.vm[0].io_tail == 0
    assert k.tasks[TASK].cost_ns >= 1_000_000 * int(k.vmstat[0, PSWPOUT]) > 0


def test_a_reclaimer_that_fills_the_io_ring_yields_to_the_devices() -> None:
    k = machine(mapped=290)
    k = replace(k, io=k.io[:8].copy())
    status, stops = RECLAIM_YIELD, 0
    _begin(k, TASK, 2, GFP_HIGHUSER)
    while (status := int(_run(k, TASK))) in (RECLAIM_WAIT, RECLAIM_YIELD):
        stops += status == RECLAIM_YIELD
        assert k.vm[0].io_tail - k.vm[0].io_head <= 8
        finish_io(k)
    assert status == RECLAIM_DONE
    assert stops > 0


@pytest.mark.row("S0-30")
def test_a_page_read_back_has_the_contents_that_were_written() -> None:
    k = bare_node([[0, 20], [20, 40], [40, 60]], 50)
    k.vm[0].current_cpu = 0
    k.mappings[1].writepage = WRITEPAGE_SWAP
    k.swap_map[7], k.swap_tags[7] = 1, 4711
    take_page(k, 41)
    k.tasks[TASK].got_pfn, k.tasks[TASK].got_gfp = 41, GFP_HIGHUSER
    pfn = int(_read(k, TASK, 7 << 8, NIL, 0))
    assert pfn == 41
    assert k.pages[41].flags & PG_locked
    assert k.pages[41].count == 3
    assert k.swap_map[7] == 2
    assert int(_read(k, TASK, 7 << 8, NIL, 0)) == 41  # found in the cache, not read twice
    assert k.vm[0].io_tail == 1
    _end_read(k, 41)
    assert k.tags[41] == 4711
    assert not k.pages[41].flags & PG_locked
