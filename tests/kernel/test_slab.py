"""Slab caches: their geometry against numbers of real machines, their lists and objects against a naive model."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kernel.kmem_machine import (
    TASK,
    booted,
    kfree,
    kmalloc_bytes,
    kmem_cache_alloc,
    kmem_cache_free,
    kmem_cache_reap,
    slabs_sound,
    sound,
)

from numa_sim.compiled import entry
from numa_sim.errors import SimulationError
from numa_sim.kernel.buddy import BUG_OBJECT
from numa_sim.kernel.dcache import d_lookup, prune_dcache
from numa_sim.kernel.slab.cache import (
    cache_name,
    cache_named,
    chain,
    geometry,
    kmem_cache_create,
    kmem_cache_destroy,
    kmem_cache_shrink,
)
from numa_sim.kernel.slab.grow import stop_growing
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM
from numa_sim.state.constants import (
    GFP_ATOMIC,
    GFP_DMA_BIT,
    GFP_KERNEL,
    SLAB_CACHE_DMA,
    SLAB_HWCACHE_ALIGN,
    SLAB_NO_REAP,
    SLABS_FREE,
    SLABS_FULL,
    SLABS_PARTIAL,
    PG_slab,
)
from numa_sim.state.counters import NR_SLAB
from numa_sim.state.kernel import Kernel

PAGE = 4096
_d_lookup = entry(d_lookup)
_prune_dcache = entry(prune_dcache)


def lengths(k: Kernel, c: int) -> list[int]:
    """Full, partial and free slabs of a cache."""
    return [int(n) for n in k.kmem_caches[c].list_length]


def take(k: Kernel, c: int, n: int, gfp: int = GFP_KERNEL) -> list[int]:
    """`n` objects of a cache."""
    got = [int(kmem_cache_alloc(k, TASK, c, gfp)) for _ in range(n)]
    assert all(address > 0 for address in got)
    return got


def give(k: Kernel, c: int, addresses: list[int]) -> None:
    """Give objects back."""
    for address in addresses:
        assert kmem_cache_free(k, c, address)


# Geometry ------------------------------------------------------------------------------------------------------------


@pytest.mark.row("S1-36")
@pytest.mark.parametrize(
    ("size", "aligned", "per_slab"),
    [(100, False, 39), (96, True, 40), (480, False, 8), (128, True, 30), (64, True, 59), (32, True, 113)],
)
def test_objects_per_slab_are_those_of_real_machines(size, aligned, per_slab):
    """num_objs / num_slabs in the example of slabinfo(5): kmem_cache, filp, inode_cache, dentry_cache, vm_area_struct;
    size-32 is known from many reports.
    """
    shape = geometry(size, aligned, 2, 116)
    assert (shape.num, shape.objsize, shape.gfporder, shape.off_slab) == (per_slab, size, 0, False)


def test_big_objects_keep_their_management_elsewhere_unless_it_fits():
    assert geometry(512, True, 2, 116).off_slab
    assert not geometry(1500, False, 2, 116).off_slab  # 608 bytes are left over on two pages
    assert not geometry(480, False, 2, 116).off_slab


def test_the_order_is_raised_while_an_eighth_is_wasted_and_no_further_than_the_machine_allows():
    """1500 bytes: 1096 of 4096 wasted; 5 in two pages leave 692 of 8192, which is little enough."""
    assert geometry(1500, False, 0, 116).gfporder == 0
    assert geometry(1500, False, 1, 116)[1:3] == (5, 1)
    assert geometry(1500, False, 2, 116)[1:3] == (5, 1)
    assert geometry(3000, False, 2, 116).gfporder == 2  # 1092 of 4096, 2192 of 8192, then 5 x 3000 of 16384
    assert geometry(131072, True, 2, 116).gfporder == 5
    with pytest.raises(SimulationError, match="do not fit"):
        geometry(131073, True, 2, 116)


def test_small_objects_share_cache_lines():
    assert [geometry(size, True, 1, 116).objsize for size in (4, 8, 9, 17, 33, 100)] == [8, 16, 16, 32, 64, 128]
    assert geometry(9, False, 1, 116).objsize == 12


def test_slabs_start_at_one_colour_after_the_other():
    k = booted()
    c = kmem_cache_create(k, "coloured", 480)
    cache = k.kmem_caches[c]
    assert (cache.colour, cache.colour_off, cache.num) == (6, 32, 8)
    first_objects = take(k, c, 8 * 8)[::8]
    starts = [address % PAGE - int(cache.slab_size) for address in first_objects]
    assert starts == [0, 32, 64, 96, 128, 160, 0, 32]


# Lists ---------------------------------------------------------------------------------------------------------------


@pytest.mark.row("S1-36")
def test_a_slab_goes_from_free_to_partial_to_full_and_back():
    k = booted()
    c = kmem_cache_create(k, "thing", 480)
    one = take(k, c, 8)
    assert lengths(k, c) == [1, 0, 0]
    two = take(k, c, 8)
    assert lengths(k, c) == [2, 0, 0]
    give(k, c, one[:1])
    assert lengths(k, c) == [1, 1, 0]
    give(k, c, two[:2])
    assert lengths(k, c) == [0, 2, 0]
    # The slab that was full last is the first to be used, and what came back last the first object.
    assert take(k, c, 1) == [two[1]]
    give(k, c, one[1:])
    assert lengths(k, c) == [0, 1, 1]
    # A partial slab before a free one.
    assert take(k, c, 1) == [two[0]]
    assert lengths(k, c) == [1, 0, 1]
    assert take(k, c, 1) == [one[7]]
    sound(k)


def test_objects_lie_side_by_side_in_contiguous_real_frames():
    """A slab is one block of pages, all marked PG_slab, with a reference of the cache."""
    k = booted()
    c = kmem_cache_create(k, "pair", 1500)
    got = take(k, c, 5)
    assert [b - a for a, b in pairwise(got)] == [1500] * 4
    first = got[0] // PAGE
    assert got[-1] // PAGE == first + 1
    for pfn in (first, first + 1):
        assert k.pages[pfn].flags & PG_slab
    assert (k.pages[first].count, k.pages[first + 1].count) == (1, 0)
    sound(k)


@pytest.mark.parametrize("c_name", ["size-32", "size-512"])
def test_wrong_frees_are_bugs_and_change_nothing(c_name):
    k = booted()
    c = cache_named(k, c_name)
    mine, kept = take(k, c, 2)
    other = cache_named(k, "size-64")
    before = int(k.kmem_caches[c].active)
    for cache, address in ((c, mine + 4), (c, 0), (c, -8), (other, mine), (c, 1 << 40)):
        k.vm[0].bug = 0
        assert not kmem_cache_free(k, cache, address)
        assert k.vm[0].bug == BUG_OBJECT
        assert k.kmem_caches[c].active == before
    k.vm[0].bug = 0
    assert kfree(k, mine)
    assert not kfree(k, mine)
    assert k.vm[0].bug == BUG_OBJECT
    k.vm[0].bug = 0
    assert kfree(k, kept)
    sound(k)


def test_a_constructor_runs_once_per_object_of_a_slab():
    k = booted()
    c = kmem_cache_create(k, "built", 480, ctor=True)
    got = take(k, c, 9)
    give(k, c, got)
    take(k, c, 9)
    assert k.kmem_caches[c].constructed == 16


# CPU arrays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "limit"), [(32, 252), (256, 252), (257, 124), (1024, 124), (4096, 60), (4097, 0)])
def test_limits_of_the_cpu_arrays(size, limit):
    k = booted(cpus=2)
    cache = k.kmem_caches[kmem_cache_create(k, "sized", size)]
    assert (cache.limit, cache.batchcount) == (limit, limit // 2)
    one = booted(cpus=1)
    assert one.kmem_caches[kmem_cache_create(one, "sized", size)].limit == 0


def test_a_cpu_takes_half_a_limit_at_a_time_and_gives_half_back():
    k = booted(cpus=2)
    c = cache_named(k, "size-64")
    got = take(k, c, 1)
    # One slab of 59: the batch wants 126, but does not grow the cache.
    assert (k.cpucache[0, c, 0], k.kmem_caches[c].active) == (58, 59)
    k.vm[0].current_cpu = 1
    got += take(k, c, 1)
    assert k.cpucache[1, c, 0] == 58
    k.vm[0].current_cpu = 0
    got += take(k, c, 300)
    give(k, c, got)
    # At 252 the 126 that came last go back, then one comes in.
    assert 126 < k.cpucache[0, c, 0] <= 252
    sound(k)
    slabs = sum(lengths(k, c))
    assert kmem_cache_shrink(k, c) == slabs > 3
    assert lengths(k, c) == [0, 0, 0]
    sound(k)


# Reap ----------------------------------------------------------------------------------------------------------------


def with_free_slabs(k: Kernel, name: str, n: int, **options: Any) -> int:
    """A cache of one-page slabs, `n` of them free and looked at once since they were made."""
    c = kmem_cache_create(k, name, options.pop("size", 480), **options)
    give(k, c, take(k, c, n * int(k.kmem_caches[c].num)))
    k.kmem_caches[c].grown = 0
    return c


def reaped(k: Kernel) -> int:
    """Pages of the next reap that begins at the first cache."""
    k.vm[0].slab_clock = k.vm[0].cache_chain
    return int(kmem_cache_reap(k))


@pytest.mark.row("S2-32")
def test_reap_takes_four_fifths_of_the_cache_with_most_free_slabs():
    k = booted()
    small, big = with_free_slabs(k, "small", 3), with_free_slabs(k, "big", 8)
    free = int(k.zones["free_pages"].sum())
    assert reaped(k) == 6
    assert (lengths(k, big), lengths(k, small)) == ([0, 0, 2], [0, 0, 3])
    assert int(k.zones["free_pages"].sum()) == free + 6
    assert reaped(k) == 2  # (4 * 3 + 1) // 5
    sound(k)


def test_reap_passes_over_caches_that_grow_have_grown_or_must_not():
    k = booted()
    c = with_free_slabs(k, "kept", 8, flags=SLAB_NO_REAP)
    assert reaped(k) == 0
    c = with_free_slabs(k, "grown", 8)
    k.kmem_caches[c].grown = 1
    assert reaped(k) == 0
    assert k.kmem_caches[c].grown == 0
    k.kmem_caches[c].growing = 1
    assert reaped(k) == 0
    k.kmem_caches[c].growing = 0
    assert reaped(k) == 6


def test_constructors_and_orders_cost_a_fifth_each():
    """7 pages beat 8 of a cache with a constructor: (8 * 4 + 1) // 5 = 6."""
    k = booted()
    plain, built = with_free_slabs(k, "plain", 7), with_free_slabs(k, "built", 8, ctor=True)
    reaped(k)
    assert (lengths(k, plain)[2], lengths(k, built)[2]) == (2, 8)
    k = booted()
    plain, pairs = with_free_slabs(k, "plain", 7), with_free_slabs(k, "pairs", 4, size=1500)
    reaped(k)
    assert (lengths(k, plain)[2], lengths(k, pairs)[2]) == (2, 4)


def test_ten_free_slabs_win_at_once_and_the_clock_goes_on_behind_the_next_cache():
    k = booted()
    later, first = with_free_slabs(k, "later", 20), with_free_slabs(k, "first", 10)
    reaped(k)
    assert (lengths(k, first)[2], lengths(k, later)[2]) == (2, 20)
    order = chain(k)
    assert k.vm[0].slab_clock == order[order.index(first) + 2]


def test_reap_looks_at_ten_caches_only():
    k = booted()
    c = with_free_slabs(k, "far", 9)
    k.vm[0].slab_clock = chain(k)[2]
    assert kmem_cache_reap(k) == 0
    assert k.vm[0].slab_clock == chain(k)[12]
    k.vm[0].slab_clock = c
    assert kmem_cache_reap(k) == 7


def test_reap_empties_the_array_of_the_cpu_that_runs_it():
    k = booted(cpus=2)
    c = kmem_cache_create(k, "kept back", 480)
    give(k, c, take(k, c, 8))
    k.kmem_caches[c].grown = 0
    assert (lengths(k, c), k.cpucache[0, c, 0]) == ([1, 0, 0], 8)
    k.vm[0].current_cpu = 1
    assert reaped(k) == 0
    k.vm[0].current_cpu = 0
    assert reaped(k) == 1


# kmalloc and caches --------------------------------------------------------------------------------------------------


@pytest.mark.row("S3-179")
@pytest.mark.parametrize("size", [1, 32, 33, 100, 4096, 4097, 131072])
def test_kmalloc_rounds_up_to_a_power_of_two_in_contiguous_frames(size):
    k = booted()
    address = int(kmalloc_bytes(k, TASK, size, GFP_KERNEL))
    c = int(k.pages[address // PAGE].list_next)
    fits = max(32, 1 << (size - 1).bit_length())
    assert cache_name(k, c) == f"size-{fits}"
    assert k.kmem_caches[c].objsize == fits
    assert all(k.pages[pfn].flags & PG_slab for pfn in range(address // PAGE, (address + fits - 1) // PAGE + 1))
    assert address % min(fits, 32) == 0
    assert kfree(k, address)
    sound(k)


def test_kmalloc_refuses_more_than_128_kib_and_takes_dma_memory_when_told():
    k = booted()
    assert kmalloc_bytes(k, TASK, 131073, GFP_KERNEL) == ALLOC_FAIL
    address = int(kmalloc_bytes(k, TASK, 100, GFP_KERNEL | GFP_DMA_BIT))
    assert address < 16 << 20
    assert cache_name(k, int(k.pages[address // PAGE].list_next)) == "size-128(DMA)"
    assert int(kmalloc_bytes(k, TASK, 100, GFP_KERNEL)) >= 16 << 20


def test_a_cache_that_cannot_grow_fails_or_asks_for_reclaim():
    k = booted()
    c = cache_named(k, "size-131072")
    while (answer := int(kmem_cache_alloc(k, TASK, c, GFP_ATOMIC))) >= 0:
        pass
    assert answer == ALLOC_FAIL
    assert kmem_cache_alloc(k, TASK, c, GFP_KERNEL) == ALLOC_RECLAIM
    assert (k.kmem_caches[c].growing, k.tasks[TASK].growing_cache) == (1, c + 1)
    # The task is killed while it waits: the cache may be reaped again.
    entry(stop_growing)(k, TASK)
    assert (k.kmem_caches[c].growing, k.tasks[TASK].growing_cache) == (0, 0)


def test_a_dentry_used_since_the_last_visit_gets_another_round():
    """prune_dcache: a second chance, then it goes like any other, the oldest first."""
    k = booted(names=8)
    for name in (0, 1, 2, 0):
        assert _d_lookup(k, TASK, name, GFP_KERNEL) == 0
    gone = []
    for _ in range(3):
        _prune_dcache(k, 1)
        gone.append([name for name in range(3) if k.dentries[name].d_object == 0])
    assert gone == [[1], [1, 2], [0, 1, 2]]


def test_creating_and_destroying_caches():
    k = booted()
    c = kmem_cache_create(k, "short-lived", 100, SLAB_HWCACHE_ALIGN | SLAB_CACHE_DMA)
    assert chain(k)[:2] == [0, c]
    got = take(k, c, 3)
    assert all(address < 16 << 20 for address in got)
    assert not kmem_cache_destroy(k, c)
    give(k, c, got)
    assert kmem_cache_destroy(k, c)
    assert cache_named(k, "short-lived") == -1
    assert int(k.vmstat[:, NR_SLAB].sum()) == 0
    for name, size in (("size-32", 32), ("", 32), ("x" * 20, 32), ("tiny", 3), ("huge", 131073)):
        with pytest.raises(SimulationError, match="kmem_cache_create"):
            kmem_cache_create(k, name, size)


# Against a naive model -----------------------------------------------------------------------------------------------


class Slabs(RuleBasedStateMachine):
    """Objects of three caches on two CPUs; `held` says what is out."""

    CPUS = 1

    @initialize()
    def start(self) -> None:
        self.k = booted(cpus=self.CPUS)
        options = (("a", 480, 0), ("b", 1500, 0), ("c", 3000, SLAB_HWCACHE_ALIGN))
        self.caches = [kmem_cache_create(self.k, name, size, flags) for name, size, flags in options]
        self.held: dict[int, list[int]] = {c: [] for c in self.caches}

    @rule(which=st.integers(0, 2), n=st.integers(1, 20), cpu=st.integers(0, 1))
    def alloc(self, which: int, n: int, cpu: int) -> None:
        self.k.vm[0].current_cpu = cpu % self.CPUS
        c = self.caches[which]
        for address in take(self.k, c, n):
            size = int(self.k.kmem_caches[c].objsize)
            assert all(abs(address - other) >= size for other in self.held[c])
            self.held[c].append(address)

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data(), cpu=st.integers(0, 1))
    def free(self, data: Any, cpu: int) -> None:
        self.k.vm[0].current_cpu = cpu % self.CPUS
        c = data.draw(st.sampled_from([c for c in self.caches if self.held[c]]))
        for _ in range(data.draw(st.integers(1, 10))):
            if self.held[c]:
                at = data.draw(st.integers(0, len(self.held[c]) - 1))
                give(self.k, c, [self.held[c].pop(at)])

    @rule()
    def reap(self) -> None:
        free = int(self.k.zones["free_pages"].sum())
        pages = int(kmem_cache_reap(self.k))
        assert int(self.k.zones["free_pages"].sum()) == free + pages

    @rule(which=st.integers(0, 2))
    def shrink(self, which: int) -> None:
        kmem_cache_shrink(self.k, self.caches[which])
        assert lengths(self.k, self.caches[which])[SLABS_FREE] == 0

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "k"):
            return
        k = self.k
        slabs_sound(k)
        for c in self.caches:
            cache = k.kmem_caches[c]
            in_arrays = int(k.cpucache[:, c, 0].sum())
            assert cache.active == len(self.held[c]) + in_arrays
            assert cache.allocs - cache.frees == len(self.held[c])
            used = {int(k.pages[address // PAGE].list_prev) for address in self.held[c]}
            slabs = sum(lengths(k, c))
            assert slabs >= len(used)
            if self.CPUS == 1:
                assert slabs - lengths(k, c)[SLABS_FREE] == len(used)
                full = [row for row in used if k.slabs[row].inuse == cache.num]
                assert len(full) == lengths(k, c)[SLABS_FULL]
                assert lengths(k, c)[SLABS_PARTIAL] == len(used) - len(full)

    def teardown(self) -> None:
        if not hasattr(self, "k"):
            return
        for c in self.caches:
            give(self.k, c, self.held[c])
            self.held[c] = []
            assert kmem_cache_destroy(self.k, c)
        sound(self.k)


class SlabsOfTwoCpus(Slabs):
    """The same with CPU arrays."""

    CPUS = 2


TestSlabs = Slabs.TestCase
TestSlabs.settings = settings(max_examples=8, stateful_step_count=20, deadline=None)
TestSlabsOfTwoCpus = SlabsOfTwoCpus.TestCase
TestSlabsOfTwoCpus.settings = TestSlabs.settings
