"""Making caches: kmem_cache_create, kmem_cache_destroy, kmem_cache_init, mm/slab.c @2.4.0 (spec 8.8).

Plain functions, called rarely.  Sizes of the slab's own structures are those of i386, whatever the machine: a word of 4
bytes, cache lines of 32, 24 bytes of slab_t and 4 per object.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from numa_sim.compiled import entry
from numa_sim.errors import SimulationError
from numa_sim.kernel.slab.grow import kmem_slab_destroy
from numa_sim.kernel.slab.kernel_caches import KERNEL_CACHES
from numa_sim.kernel.slab.objects import drain_array
from numa_sim.state.constants import (
    CACHE_CACHE,
    CFLGS_OFF_SLAB,
    GFP_DMA_BIT,
    NIL,
    PAGE_SIZE,
    SLAB_CACHE_DMA,
    SLAB_HWCACHE_ALIGN,
    SLAB_NO_REAP,
    SLABS_FREE,
    SLABS_FULL,
    SLABS_PARTIAL,
)
from numa_sim.state.kernel import Kernel
from numa_sim.state.kmem_layout import MAX_CACHES, MAX_OBJECTS

__all__ = [
    "Geometry", "cache_name", "cache_named", "chain", "geometry", "kmem_cache_create", "kmem_cache_destroy",
    "kmem_cache_init", "kmem_cache_shrink",
]  # fmt: skip

WORD_BYTES: Final = 4
L1_CACHE_BYTES: Final = 32
SLAB_T_BYTES: Final = 24
BUFCTL_BYTES: Final = 4
MAX_SLAB_ORDER: Final = 5
"""Highest order a slab may have, and the order of the biggest object."""
OFF_SLAB_BYTES: Final = PAGE_SIZE >> 3
"""Objects from this size on have their slab's management elsewhere, unless it fits into what is left over."""
KMEM_CACHE_BYTES: Final = 100
"""A kmem_cache_t (slabinfo(5): objsize of ``kmem_cache``)."""
SMALL_MACHINE_PAGES: Final = 32 << 20 >> 12
NAME_BYTES: Final = 20

_drain_array = entry(drain_array)
_kmem_slab_destroy = entry(kmem_slab_destroy)


class Geometry(NamedTuple):
    """How a cache's objects lie in its slabs; sizes in bytes."""

    objsize: int
    num: int
    gfporder: int
    off_slab: bool
    slab_size: int
    left_over: int
    colour: int
    colour_off: int


def _aligned(size: int, align: int) -> int:
    return -(-size // align) * align


def _estimate(gfporder: int, size: int, off_slab: bool) -> tuple[int, int]:
    """kmem_cache_estimate: how many objects fit into a slab with their management, and the bytes left over."""
    room = PAGE_SIZE << gfporder
    base, extra = (0, 0) if off_slab else (SLAB_T_BYTES, BUFCTL_BYTES)
    num = 0
    while (num + 1) * size + _aligned(base + (num + 1) * extra, L1_CACHE_BYTES) <= room:
        num += 1
    return num, room - num * size - _aligned(base + num * extra, L1_CACHE_BYTES)


def geometry(size: int, hwcache_align: bool, break_order: int, offslab_limit: int, offset: int = 0) -> Geometry:
    """Objects per slab, order, place of the management and colours of a cache for objects of `size` bytes.

    Parameters
    ----------
    hwcache_align : bool
        SLAB_HWCACHE_ALIGN: objects lie on cache lines, small ones two or more to a line.
    break_order : int
        slab_break_gfp_order: no higher order for the sake of less waste.
    offslab_limit : int
        Most objects of a slab with off-slab management: what its biggest cache has room for.
    offset : int
        Bytes between colours; 0: a cache line.

    Raises
    ------
    SimulationError
        Not even one object fits into 2**5 pages.
    """
    align = L1_CACHE_BYTES if hwcache_align else WORD_BYTES
    size = _aligned(size, WORD_BYTES)
    off_slab = size >= OFF_SLAB_BYTES
    if hwcache_align:
        while size < align // 2:
            align //= 2
        size = _aligned(size, align)
    order = 0
    while True:
        num, left_over = _estimate(order, size, off_slab)
        if num and off_slab and num > offslab_limit and order:
            order -= 1
            num, left_over = _estimate(order, size, off_slab)
            break
        wasteful = left_over * 8 > PAGE_SIZE << order
        if order >= MAX_SLAB_ORDER or (num and (order >= break_order or not wasteful)):
            break
        order += 1
    if num == 0:
        biggest = PAGE_SIZE << MAX_SLAB_ORDER
        raise SimulationError(f"kmem_cache_create: objects of {size} bytes do not fit into slabs of {biggest}")
    slab_size = _aligned(num * BUFCTL_BYTES + SLAB_T_BYTES, L1_CACHE_BYTES)
    if off_slab and left_over >= slab_size:
        off_slab = False
        left_over -= slab_size
    offset = _aligned(offset, align) or L1_CACHE_BYTES
    return Geometry(size, num, order, off_slab, slab_size, left_over, left_over // offset, offset)


def _cpucache_limit(objsize: int) -> int:
    """enable_cpucache: objects a CPU may keep of a cache."""
    if objsize > PAGE_SIZE:
        return 0
    if objsize > 1024:
        return 60
    return 124 if objsize > 256 else 252


def cache_name(k: Kernel, c: int) -> str:
    """Name of a cache."""
    packed = b"".join(int(word).to_bytes(8, "little") for word in k.kmem_caches[c].name)
    return packed.rstrip(b"\0").decode("ascii")


def chain(k: Kernel) -> list[int]:
    """Rows of all caches in the order of the chain: the cache of caches, then the youngest first."""
    rows = []
    c = int(k.vm[0].cache_chain)
    while c != NIL:
        rows.append(c)
        c = int(k.kmem_caches[c].next)
    return rows


def cache_named(k: Kernel, name: str) -> int:
    """Row of the cache of this name, NIL if there is none."""
    return next((c for c in chain(k) if cache_name(k, c) == name), NIL)


def _management_cache(k: Kernel, slab_size: int) -> int:
    """kmem_find_general_cachep: the smallest kmalloc cache for a slab's management."""
    sizes = [size for size in (32, 64, 128, 256) if size >= slab_size]
    return cache_named(k, f"size-{sizes[0]}")


def _offslab_limit(k: Kernel) -> int:
    """Objects whose management the biggest cache that keeps its own on the slab can hold."""
    on_slab = [
        int(cache.objsize) for c in chain(k) if not (cache := k.kmem_caches[c]).flags & CFLGS_OFF_SLAB and cache.num
    ]
    return (min(max(on_slab, default=256), 256) - SLAB_T_BYTES) // 2


def kmem_cache_create(k: Kernel, name: str, size: int, flags: int = 0, ctor: bool = False, offset: int = 0) -> int:
    """`kmem_cache_create` @2.4.0: a cache without slabs.

    Parameters
    ----------
    name : str
        As in /proc/slabinfo, up to 19 characters.
    size : int
        Of an object, bytes.
    flags : int
        SLAB_NO_REAP, SLAB_HWCACHE_ALIGN, SLAB_CACHE_DMA.
    ctor : bool
        Objects are constructed with their slab and stay so: reap prefers other caches.

    Returns
    -------
    int
        Row in ``k.kmem_caches``.

    Raises
    ------
    SimulationError
        Name taken or too long, size below a word or above 128 KiB, no room for another cache (BUG in the kernel).
    """
    if not name or len(name) >= NAME_BYTES or not name.isascii() or cache_named(k, name) != NIL:
        raise SimulationError(f"kmem_cache_create: {name!r} must be a new name of 1 to {NAME_BYTES - 1} characters")
    if not WORD_BYTES <= size <= PAGE_SIZE << MAX_SLAB_ORDER:
        raise SimulationError(f"kmem_cache_create {name}: {size} bytes; {WORD_BYTES} to {PAGE_SIZE << MAX_SLAB_ORDER}")
    c = next((c for c in range(MAX_CACHES) if not k.kmem_caches[c].used), NIL)
    if c == NIL:
        raise SimulationError(f"kmem_cache_create {name}: more than {MAX_CACHES} caches")
    break_order = 2 if k.vm[0].total_pages > SMALL_MACHINE_PAGES else 1
    shape = geometry(size, bool(flags & SLAB_HWCACHE_ALIGN), break_order, _offslab_limit(k), offset)
    assert shape.num <= MAX_OBJECTS
    cache = k.kmem_caches[c]
    for field in k.kmem_caches.dtype.names:
        cache[field] = 0
    cache.used = 1
    cache.name[:] = [int.from_bytes(name.encode()[at : at + 8].ljust(8, b"\0"), "little") for at in (0, 8, 16)]
    cache.objsize, cache.num, cache.gfporder = shape.objsize, shape.num, shape.gfporder
    cache.gfpflags = GFP_DMA_BIT if flags & SLAB_CACHE_DMA else 0
    cache.flags = flags | (CFLGS_OFF_SLAB if shape.off_slab else 0)
    cache.ctor = int(ctor)
    cache.colour, cache.colour_off, cache.slab_size = shape.colour, shape.colour_off, shape.slab_size
    cache.slabp_cache = _management_cache(k, shape.slab_size) if shape.off_slab else NIL
    cache.list_head[:] = cache.list_tail[:] = NIL
    if len(k.cpus) > 1 and c != CACHE_CACHE:
        cache.limit = _cpucache_limit(shape.objsize)
        cache.batchcount = cache.limit // 2
    _enter(k, c)
    return c


def _enter(k: Kernel, c: int) -> None:
    """Put a new cache into the chain, behind the cache of caches."""
    vm = k.vm[0]
    if vm.cache_chain == NIL:
        vm.cache_chain = vm.slab_clock = c
        k.kmem_caches[c].next = NIL
    else:
        k.kmem_caches[c].next = k.kmem_caches[CACHE_CACHE].next
        k.kmem_caches[CACHE_CACHE].next = c


def kmem_cache_init(k: Kernel) -> None:
    """The cache of caches; for kmalloc two for every power of two from 32 to 131072 bytes; the kernel's own.

    Done before the first use; a machine that makes no use of slabs has no caches.  Simplified: the caches' own
    descriptors take no object of the cache of caches.
    """
    if k.vm[0].cache_chain != NIL:
        return
    kmem_cache_create(k, "kmem_cache", KMEM_CACHE_BYTES, SLAB_NO_REAP)
    size = 32
    while size <= PAGE_SIZE << MAX_SLAB_ORDER:
        kmem_cache_create(k, f"size-{size}", size, SLAB_HWCACHE_ALIGN)
        kmem_cache_create(k, f"size-{size}(DMA)", size, SLAB_HWCACHE_ALIGN | SLAB_CACHE_DMA)
        size *= 2
    for name, size, ctor in KERNEL_CACHES:
        kmem_cache_create(k, name, size, SLAB_HWCACHE_ALIGN, ctor)


def kmem_cache_shrink(k: Kernel, c: int) -> int:
    """`kmem_cache_shrink`: empty every CPU's array of the cache and free all its free slabs; pages given back."""
    for cpu in range(len(k.cpus)):
        if k.cpucache[cpu, c, 0]:
            _drain_array(k, c, cpu, int(k.cpucache[cpu, c, 0]))
    pages = 0
    while k.kmem_caches[c].list_head[SLABS_FREE] != NIL and not k.kmem_caches[c].growing:
        pages += int(_kmem_slab_destroy(k, c, int(k.kmem_caches[c].list_tail[SLABS_FREE])))
    return pages


def kmem_cache_destroy(k: Kernel, c: int) -> bool:
    """`kmem_cache_destroy`: False, and the cache stays, if somebody still has objects of it."""
    kmem_cache_shrink(k, c)
    cache = k.kmem_caches[c]
    if c == CACHE_CACHE or cache.list_length[SLABS_FULL] or cache.list_length[SLABS_PARTIAL] or cache.growing:
        return False
    before = next(other for other in chain(k) if k.kmem_caches[other].next == c)
    if k.vm[0].slab_clock == c:
        k.vm[0].slab_clock = cache.next if cache.next != NIL else k.vm[0].cache_chain
    k.kmem_caches[before].next = cache.next
    cache.used = 0
    return True
