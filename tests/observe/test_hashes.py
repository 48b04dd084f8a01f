"""Hashes see every change of state, nothing of how a run was observed, and no frame that was never touched."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic_run import FRAMES, small_kernel

from numa_sim.observe.hashes import event_hash, state_hash, touched_frames
from numa_sim.state.constants import NR_ZONES, ZONE_NORMAL
from numa_sim.state.event_codes import EV_RMQUEUE
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel, Sizes, new_kernel


def change_free_pages(k: Kernel) -> None:
    k.zones[NR_ZONES + ZONE_NORMAL].free_pages -= 1


def change_watermark(k: Kernel) -> None:
    k.zones[ZONE_NORMAL].watermarks[1, 2] = 5


def change_page(k: Kernel) -> None:
    k.pages[FRAMES + 17].flags |= 1


def change_last_frame(k: Kernel) -> None:
    k.tags[2 * FRAMES - 1] = 3


def change_buddy_bit(k: Kernel) -> None:
    k.buddy_map[5] = 1


def change_pte(k: Kernel) -> None:
    k.tables[1, 511] = 1


def change_swap_slot(k: Kernel) -> None:
    k.swap_map[2048 + 2047] = 1


def change_swap_contents(k: Kernel) -> None:
    k.swap_tags[2048] = 1


def change_buffer(k: Kernel) -> None:
    k.buffers[FRAMES + 17].b_blocknr = 5


def change_file_contents(k: Kernel) -> None:
    k.disk_tags[3] = 1


def change_tlb(k: Kernel) -> None:
    k.tlb[3, 7, 1].vpn = 4


def change_task(k: Kernel) -> None:
    k.tasks[2].maj_flt = 1


def change_request(k: Kernel) -> None:
    k.io[3].block = 9


def change_sysctl(k: Kernel) -> None:
    k.vm[0].vm_passes = 61


def change_slab_object(k: Kernel) -> None:
    k.slab_bufctl[1, 3] = 5


def change_slab_cache(k: Kernel) -> None:
    k.kmem_caches[2].active = 1


def change_kmap_slot(k: Kernel) -> None:
    k.pkmap[7, 0] = 1


def change_area(k: Kernel) -> None:
    k.vm_structs[0].addr = 9


def change_clock(k: Kernel) -> None:
    k.vm[0].now_ns = 1


CHANGES = [value for name, value in list(globals().items()) if name.startswith("change_")]


def busy_kernel() -> Kernel:
    k = small_kernel(events=8)
    k.vm[0].table_used = 2
    k.swap_info[1].inuse_pages = 1
    k.disks[0].blocks = k.disks[0].next_block = 4
    k.vm[0].io_head, k.vm[0].io_tail = 3, 4
    k.vm[0].cache_chain, k.vm[0].slab_used, k.vm[0].vm_structs_used = 0, 2, 1
    return k


@pytest.mark.parametrize("change", CHANGES, ids=lambda f: f.__name__)
def test_every_change_of_state_is_seen(change):
    k = busy_kernel()
    before = state_hash(k)
    change(k)
    assert state_hash(k) != before
    assert event_hash(k) == event_hash(busy_kernel())


def test_observing_is_not_state():
    k, watched = busy_kernel(), busy_kernel()
    watched.vm[0].record_events = 1
    for machine in (k, watched):
        for i in range(5):
            log_event(machine, EV_RMQUEUE, i, -1)
    assert int(watched.vm[0].events_used) == 5
    assert event_hash(k) == event_hash(watched) != event_hash(busy_kernel())
    assert state_hash(k) == state_hash(watched)
    watched.vm[0].fault_latency = 1
    watched.tasks[2].fault_start_ns, watched.tasks[2].fault_kind = 7, 2
    assert state_hash(k) == state_hash(watched)
    watched.cpus[0].stop_reason = 4  # depends on when the loop was stopped for a sample
    assert state_hash(k) == state_hash(watched)


def test_events_differ_by_operands_order_time_and_task():
    def after(*events: tuple[int, int, int]) -> str:
        k = new_kernel(Sizes(nodes=1, cpus=1, frames=512))
        for t_ns, task, a in events:
            k.vm[0].now_ns, k.vm[0].current_task = t_ns, task
            log_event(k, EV_RMQUEUE, a, 0)
        return event_hash(k)

    runs = [((1, 2, 3),), ((1, 2, 4),), ((9, 2, 3),), ((1, 3, 3),), ((1, 2, 3), (1, 2, 4)), ((1, 2, 4), (1, 2, 3))]
    assert len({after(*run) for run in runs}) == len(runs)


def test_touched_frames_leaves_out_virgin_ranges_mem_map_and_holes():
    k = small_kernel()
    zone = k.zones[ZONE_NORMAL]
    zone.nr_virgin = 2
    zone.virgin_start[:2], zone.virgin_end[:2] = (512, 2048), (1024, FRAMES)
    k.nodes[0].mem_map_start, k.nodes[0].mem_map_end = 100, 200
    assert touched_frames(k) == [(0, 100), (200, 512), (1024, 2048), (FRAMES, 2 * FRAMES)]
    before = state_hash(k)
    k.pages[600].flags = 1  # cannot happen: virgin frames are never written
    assert state_hash(k) == before
    k.pages[511].flags = 1
    assert state_hash(k) != before


def test_a_large_machine_is_not_read():
    frames = 1 << 28  # 1 TiB: 15 GiB of records, none of them touched
    k = new_kernel(Sizes(nodes=1, cpus=1, frames=frames, tables=1 << 16))
    zone = k.zones[ZONE_NORMAL]
    zone.start_pfn, zone.size, zone.realsize, zone.nr_virgin = 0, frames, frames, 1
    zone.virgin_start[0], zone.virgin_end[0] = 1024, frames
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("needs /proc")
    before = int(statm.read_text().split()[1])
    state_hash(k)
    grown_bytes = (int(statm.read_text().split()[1]) - before) * os.sysconf("SC_PAGE_SIZE")
    assert grown_bytes < 64 << 20


def test_same_in_every_process():
    code = "from synthetic_run import *; from numa_sim.observe.hashes import *\nk = small_kernel()\n"
    code += "play(k, TimeSeries(k), 5)\nprint(event_hash(k), state_hash(k))"
    here = Path(__file__).parents[1]
    seen = set()
    for hash_seed in ("1", "2"):
        variables = {**os.environ, "PYTHONHASHSEED": hash_seed, "NUMBA_DISABLE_JIT": "1"}
        variables["PYTHONPATH"] = os.pathsep.join([str(here), str(here.parent)])
        out = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
        seen.add(out.stdout)
    assert len(seen) == 1
    assert len(seen.pop()) > 40


def test_padding_is_not_state():
    k = busy_kernel()
    before = state_hash(k)
    raw = k.pages.view(np.ndarray).view(np.uint8).reshape(len(k.pages), -1)
    raw[:, 36:40] = 255  # between `buffers` and `index`
    assert state_hash(k) == before
