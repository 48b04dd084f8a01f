"""kmap: slots, their counters, and what happens when they run out."""

from __future__ import annotations

from kernel.kmem_machine import booted

from numa_sim.compiled import entry
from numa_sim.kernel import highmem
from numa_sim.kernel.highmem import KMAP_LINEAR, KMAP_WAIT
from numa_sim.state.constants import LAST_PKMAP
from numa_sim.state.counters import KMAP_FLUSHES, KMAP_WAITS

kmap = entry(highmem.kmap)
kunmap = entry(highmem.kunmap)
HIGH = 896 << 8
"""First frame of high memory on i386."""


def machine(slots: int = LAST_PKMAP, cpus: int = 1):
    k = booted(mib=960, cpus=cpus)
    k.vm[0].nr_pkmap = slots
    return k


def test_low_memory_needs_no_slot():
    k = machine()
    assert kmap(k, HIGH - 1) == KMAP_LINEAR
    assert not k.pkmap.any()


def test_a_page_has_one_slot_with_a_count_of_its_users():
    k = machine()
    assert (kmap(k, HIGH), kmap(k, HIGH), kmap(k, HIGH + 1)) == (1, 1, 2)
    assert (k.pkmap[1, 0], k.pkmap[2, 0]) == (3, 2)
    kunmap(k, HIGH)
    kunmap(k, HIGH)
    assert k.pkmap[1, 0] == 1  # mapped, but unused
    assert kmap(k, HIGH) == 1
    assert k.pkmap[1, 0] == 2


def test_the_search_goes_round_and_flushes_every_tlb_when_it_comes_past_the_beginning():
    k = machine(slots=4, cpus=2)
    for pfn in (0, 1, 2):
        kmap(k, HIGH + pfn)
    kunmap(k, HIGH)
    flushes = k.cpus.tlb_flushes.copy()
    # Slot 0 comes after slot 3: now the unused slot 1 gets free, and slot 0 is taken.
    assert kmap(k, HIGH + 9) == 0
    assert list(k.cpus.tlb_flushes - flushes) == [1, 1]
    assert k.vmstat[0, KMAP_FLUSHES] == 1
    assert kmap(k, HIGH + 10) == 1
    assert kmap(k, HIGH + 1) == 2


def test_with_every_slot_in_use_a_task_waits_until_one_is_given_up():
    k = machine(slots=4)
    for pfn in range(4):
        assert kmap(k, HIGH + pfn) >= 0
    assert kmap(k, HIGH + 4) == KMAP_WAIT
    assert (k.vmstat[0, KMAP_WAITS], k.vm[0].pkmap_waiters) == (1, 1)
    kmap(k, HIGH)
    assert not kunmap(k, HIGH)  # it still has a user
    assert kunmap(k, HIGH)
    assert k.vm[0].pkmap_waiters == 0
    assert kmap(k, HIGH + 4) == 1  # the slot of HIGH, after a flush


def test_a_page_that_is_not_mapped_cannot_be_unmapped():
    k = machine()
    kmap(k, HIGH)
    assert not kunmap(k, HIGH + 1)
    kunmap(k, HIGH)
    kunmap(k, HIGH)
    assert k.pkmap[1, 0] == 1
