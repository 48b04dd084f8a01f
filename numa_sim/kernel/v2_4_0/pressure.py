"""How short of memory the machine is, and whom that wakes: mm/vmscan.c and mm/page_alloc.c @2.4.0 (spec 4.4, 4.5).

``vm.memory_pressure`` counts pages taken from the lists, less those freed, and decays once a second; a sixty-fourth of
it is how many inactive pages there should be.

Daemons are woken by notes that Python clears when it acts on them: ``vm.kswapd_wanted``, ``vm.kreclaimd_wanted``,
``vm.bdflush_wanted``.  Whoever puts kswapd or kreclaimd to sleep sets ``vm.kswapd_asleep`` or ``vm.kreclaimd_asleep``.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import rule
from numa_sim.state.constants import KSWAPD, WMARK_MIN
from numa_sim.state.counters import KRECLAIMD_WAKEUP, KSWAPD_WAIT, KSWAPD_WAKEUP
from numa_sim.state.event_codes import EV_WAKEUP_BDFLUSH, EV_WAKEUP_KRECLAIMD, EV_WAKEUP_KSWAPD
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

INACTIVE_SHIFT: Final = 6
"""log2 of seconds: memory pressure is an average over about a minute."""


@rule
def nr_free_pages(k: Kernel) -> int:
    """Free pages of all zones."""
    total = 0
    for z in range(k.zones.shape[0]):
        total += k.zones[z].free_pages
    return total


@rule
def nr_inactive_clean_pages(k: Kernel) -> int:
    """Pages on the inactive_clean lists of all zones."""
    total = 0
    for z in range(k.zones.shape[0]):
        total += k.zones[z].inactive_clean_pages
    return total


@rule
def inactive_target(k: Kernel) -> int:
    """How many inactive pages there should be: a second's worth of allocations, at most a quarter of memory."""
    vm = k.vm[0]
    return min(vm.memory_pressure >> INACTIVE_SHIFT, vm.total_pages // 4)


@rule
def free_shortage(k: Kernel) -> int:
    """Pages that are missing from the free and inactive_clean ones: in all, else zone by zone; 0 = none."""
    have = nr_free_pages(k) + nr_inactive_clean_pages(k)
    want = k.vm[0].freepages_high + inactive_target(k) // 3
    if have < want:
        return want - have
    missing = 0
    for z in range(k.zones.shape[0]):
        zone = k.zones[z]
        if zone.size != 0:
            missing += max(zone.watermarks[zone.index, WMARK_MIN] + 1 - zone.inactive_clean_pages - zone.free_pages, 0)
    return missing


@rule
def inactive_shortage(k: Kernel) -> int:
    """Pages that are missing from the free and inactive ones together; 0 = none."""
    vm = k.vm[0]
    want = vm.freepages_high + inactive_target(k)
    return max(want - nr_free_pages(k) - nr_inactive_clean_pages(k) - vm.nr_inactive_dirty_pages, 0)


@rule
def kswapd_is_due(k: Kernel) -> bool:
    """Whether both shortages are so bad that kswapd should not wait for its next second."""
    return inactive_shortage(k) > inactive_target(k) // 2 and free_shortage(k) != 0


@rule
def wakeup_kswapd(k: Kernel, block: int) -> None:
    """Wake kswapd if it sleeps; with `block` the caller then sleeps until its round ends.  kswapd itself: nothing."""
    vm = k.vm[0]
    if vm.current_task == KSWAPD:
        return
    log_event(k, EV_WAKEUP_KSWAPD, block, vm.kswapd_asleep)
    node = k.cpus[vm.current_cpu].node
    if block != 0:
        count(k, node, KSWAPD_WAIT, 1)
    if vm.kswapd_asleep != 0:
        vm.kswapd_asleep = 0
        vm.kswapd_wanted = 1
        count(k, node, KSWAPD_WAKEUP, 1)


@rule
def wakeup_kreclaimd(k: Kernel) -> None:
    """Wake kreclaimd if it sleeps: a zone is below its min mark."""
    vm = k.vm[0]
    if vm.kreclaimd_asleep != 0:
        vm.kreclaimd_asleep = 0
        vm.kreclaimd_wanted = 1
        log_event(k, EV_WAKEUP_KRECLAIMD, 0, 0)
        count(k, k.cpus[vm.current_cpu].node, KRECLAIMD_WAKEUP, 1)


@rule
def wakeup_bdflush(k: Kernel) -> None:
    """Ask for bdflush: buffers and pages should be written.  Its awakenings are counted when it wakes."""
    k.vm[0].bdflush_wanted = 1
    log_event(k, EV_WAKEUP_BDFLUSH, 0, 0)


@rule
def recalculate_vm_stats(k: Kernel) -> None:
    """Decay of memory pressure, once a second: a sixty-fourth is forgotten (kswapd calls it)."""
    k.vm[0].memory_pressure -= k.vm[0].memory_pressure >> INACTIVE_SHIFT


@rule
def page_was_freed(k: Kernel) -> None:
    """A page went back to the buddy lists: pressure falls, down to one per CPU (`__free_pages_ok`)."""
    if k.vm[0].memory_pressure > k.vm[0].nr_cpus:
        k.vm[0].memory_pressure -= 1
