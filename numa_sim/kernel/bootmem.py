"""The allocator of the boot, and the boot itself: mm/bootmem.c and `free_area_init` callers @2.4.37.

The kernel's bitmap, one bit per low page of a node, is kept here as runs of clear bits, so that a terabyte costs
nothing.  Plain Python, run once per machine.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from numa_sim.compiled import entry
from numa_sim.errors import ConfigError, InvariantViolation, TopologyError
from numa_sim.kernel.buddy import TOP_ORDER, TOP_PAGES, insert_block
from numa_sim.kernel.geometry import geometry_of
from numa_sim.kernel.mmzone import (
    FALLBACKS,
    MAXMEM_I386_PFN,
    ZONE_ALIGN_PAGES,
    build_zonelists,
    free_area_init_node,
    misaligned_zones,
    zone_sizes,
)
from numa_sim.kernel.paging_init import paging_init
from numa_sim.kernel.profiles import Profile, get
from numa_sim.kernel.v2_2.boot import mem_init
from numa_sim.state.constants import (
    KERNEL_2_2,
    KERNEL_2_4_0,
    NIL,
    PAGE_SHIFT,
    PAGE_SIZE,
    VMA_AVL,
    VMA_RBTREE,
    ZONE_HIGHMEM,
    PG_reserved,
)
from numa_sim.state.kernel import Kernel
from numa_sim.state.layout import MAX_VIRGIN_RUNS

_LONG_BYTES = 8
_CACHE_LINE_BYTES = 64


class Bootmem:
    """Boot memory of one node: first fit over a bitmap of its low pages, 1 = reserved (spec 1.2).

    Parameters
    ----------
    start_pfn, end_pfn : int
        Low frames of the node, [start, end).
    map_pfn : int
        Where the bitmap itself lies (the caller reserves it).

    Notes
    -----
    `init_bootmem_core`: everything starts reserved.  `free` and `reserve` take byte addresses, as the kernel does.
    """

    def __init__(self, start_pfn: int, end_pfn: int, map_pfn: int) -> None:
        self.start_pfn = start_pfn
        self.end_pfn = end_pfn
        self.map_pfn = map_pfn
        self._starts: list[int] = []  # runs of clear bits, [start, end), ascending, never touching
        self._ends: list[int] = []
        self._last_pos = 0
        self._last_offset = 0

    @property
    def map_bytes(self) -> int:
        """Bytes of the bitmap: whole longs."""
        return -(-self._n_pages // (8 * _LONG_BYTES)) * _LONG_BYTES

    @property
    def _n_pages(self) -> int:
        return self.end_pfn - self.start_pfn

    def free_runs(self) -> list[tuple[int, int]]:
        """Runs of frames not reserved, [start, end), ascending."""
        base = self.start_pfn
        return [(base + start, base + end) for start, end in zip(self._starts, self._ends, strict=True)]

    def is_free(self, pfn: int) -> bool:
        """Whether the frame's bit is clear."""
        index = pfn - self.start_pfn
        at = bisect_right(self._starts, index) - 1
        return at >= 0 and index < self._ends[at]

    def free(self, address: int, size_bytes: int) -> None:
        """Clear the bits of the pages entirely inside the range.  `free_bootmem_core`.

        Raises
        ------
        InvariantViolation
            If a bit is clear already, or lies outside the node (the kernel calls BUG).
        """
        start = -(-address // PAGE_SIZE) - self.start_pfn
        end = (address + size_bytes) // PAGE_SIZE - self.start_pfn
        if start >= end:
            return
        at = bisect_right(self._starts, start)
        clear = (at > 0 and self._ends[at - 1] > start) or (at < len(self._starts) and self._starts[at] < end)
        if start < 0 or end > self._n_pages or clear:
            raise InvariantViolation("boot memory is freed once, and only inside its node", 0, f"pages {start}..{end}")
        if at > 0 and self._ends[at - 1] == start:
            at -= 1
            start = self._starts[at]
            del self._starts[at], self._ends[at]
        if at < len(self._starts) and self._starts[at] == end:
            end = self._ends[at]
            del self._starts[at], self._ends[at]
        self._starts.insert(at, start)
        self._ends.insert(at, end)

    def reserve(self, address: int, size_bytes: int) -> int:
        """Set the bits of every page touched by the range.  `reserve_bootmem_core`.

        Returns
        -------
        int
            How many were set already (the kernel only warns).
        """
        start = address // PAGE_SIZE - self.start_pfn
        end = -(-(address + size_bytes) // PAGE_SIZE) - self.start_pfn
        if start < 0 or end > self._n_pages:
            raise InvariantViolation("boot memory is reserved inside its node", 0, f"pages {start}..{end}")
        return (end - start) - self._set_bits(start, end)

    def alloc(self, size_bytes: int, align_bytes: int, goal: int) -> int | None:
        """Reserve the first fitting range from `goal` upwards, else from the node's start.  `__alloc_bootmem_core`.

        A small request goes on in the page where the one before ended, if that page is directly before the range
        found and `align_bytes` is at most a page.

        Returns
        -------
        int or None
            Byte address; None when nothing fits (the caller tries the next node, or gives up).
        """
        pages = -(-size_bytes // PAGE_SIZE)
        step = max(align_bytes // PAGE_SIZE, 1)
        first = 0
        if goal and self.start_pfn <= goal // PAGE_SIZE < self.end_pfn:
            first = -(-(goal // PAGE_SIZE - self.start_pfn) // step) * step
        found = self._scan(first, step, pages)
        if found is None and first:
            found = self._scan(0, step, pages)
        if found is None:
            return None
        if align_bytes <= PAGE_SIZE and self._last_offset and self._last_pos + 1 == found:
            page, offset = self._last_pos, -(-self._last_offset // align_bytes) * align_bytes
            # What the page that is begun cannot hold takes whole pages from the range found.
            over = max(size_bytes - (PAGE_SIZE - offset), 0)
            pages = -(-over // PAGE_SIZE)
            self._last_offset = (offset + size_bytes if over == 0 else over) % PAGE_SIZE
            if pages:
                self._last_pos = found + pages - 1
        else:
            page, offset = found, 0
            self._last_pos = found + pages - 1
            self._last_offset = size_bytes % PAGE_SIZE
        self._set_bits(found, found + pages)
        return (self.start_pfn + page) * PAGE_SIZE + offset

    def _scan(self, first: int, step: int, pages: int) -> int | None:
        for start, end in zip(self._starts, self._ends, strict=True):
            at = first
            if start > first:
                at += -(-(start - first) // step) * step
            if at + pages <= end:
                return at
        return None

    def _set_bits(self, start: int, end: int) -> int:
        """Set bits [start, end); return how many were clear."""
        kept: list[tuple[int, int]] = []
        cleared = 0
        for low, high in zip(self._starts, self._ends, strict=True):
            if high <= start or low >= end:
                kept.append((low, high))
                continue
            cleared += min(high, end) - max(low, start)
            kept += [(a, b) for a, b in ((low, start), (end, high)) if a < b]
        self._starts = [low for low, _ in kept]
        self._ends = [high for _, high in kept]
        return cleared


_insert_block = entry(insert_block)


def hand_over_range(k: Kernel, zone_id: int, start_pfn: int, end_pfn: int) -> None:
    """Give frames [start, end) of a zone to the buddy lists, as if freed one by one in ascending order.

    Each of the largest aligned blocks of the range ends up at the head of its list, the last on top.  Whole top-order
    blocks are noted as a virgin range instead of being linked, as long as none has been linked before them.
    """
    zone = k.zones[zone_id]
    base = int(zone.start_pfn)
    pfn = start_pfn
    while pfn < end_pfn:
        index = pfn - base
        order = TOP_ORDER
        while index & ((1 << order) - 1) or pfn + (1 << order) > end_pfn:
            order -= 1
        if order == TOP_ORDER and zone.free_head[TOP_ORDER] == NIL and zone.nr_virgin < MAX_VIRGIN_RUNS:
            stop = end_pfn - (end_pfn - base) % TOP_PAGES
            run = int(zone.nr_virgin)
            zone.virgin_start[run], zone.virgin_end[run] = pfn, stop
            zone.nr_virgin = run + 1
            zone.nr_free[TOP_ORDER] += (stop - pfn) // TOP_PAGES
            zone.free_pages += stop - pfn
            pfn = stop
            continue
        _insert_block(k, zone_id, pfn, order)
        pfn += 1 << order


def _hand_over(k: Kernel, start_pfn: int, end_pfn: int) -> int:
    """`hand_over_range` over all zones the frames lie in; returns their number."""
    for zone_id in range(len(k.zones)):
        zone = k.zones[zone_id]
        low = max(start_pfn, int(zone.start_pfn))
        high = min(end_pfn, int(zone.start_pfn) + int(zone["size"]))
        if low < high:
            hand_over_range(k, zone_id, low, high)
    return end_pfn - start_pfn


def free_all_bootmem(k: Kernel, bootmem: Bootmem) -> int:
    """Retire the boot allocator of a node: its free pages, then the bitmap's own, go to the buddy lists.

    Returns
    -------
    int
        Pages handed over.  `free_all_bootmem_core` @2.4.37.
    """
    runs = bootmem.free_runs()
    total = sum(_hand_over(k, start, end) for start, end in runs)
    map_end = bootmem.map_pfn + -(-bootmem.map_bytes // PAGE_SIZE)
    return total + _hand_over(k, bootmem.map_pfn, map_end)


def _mark_reserved(k: Kernel, bootmem: Bootmem, mem_map: tuple[int, int]) -> None:
    """Flag what stays reserved, except `mem_map`, which `nodes[].mem_map_start/end` says without touching it."""
    map_end = bootmem.map_pfn + -(-bootmem.map_bytes // PAGE_SIZE)
    taken = sorted([*bootmem.free_runs(), (bootmem.map_pfn, map_end), mem_map])
    pfn = bootmem.start_pfn
    for start, end in [*taken, (bootmem.end_pfn, bootmem.end_pfn)]:
        if pfn < start:
            k.pages["flags"][pfn:start] |= PG_reserved
        pfn = max(pfn, end)


def _reserve_kernel(bootmem: Bootmem, profile: Profile) -> int:
    """Reserve page 0 and the kernel image on the boot node; return the image's first frame."""
    image_pfn = bootmem.start_pfn + (profile.kernel_start_bytes >> PAGE_SHIFT)
    bootmem.reserve(bootmem.start_pfn << PAGE_SHIFT, PAGE_SIZE)
    bootmem.reserve(image_pfn << PAGE_SHIFT, profile.kernel_image_bytes)
    return image_pfn


def _boot_node(k: Kernel, node: int, low: tuple[int, int], end_pfn: int, arch: str, profile: Profile) -> int:
    """Boot memory, `mem_map` and hand-over of a node whose zones are set up; returns the pages handed over."""
    start_pfn, low_end = low
    pgdat = k.nodes[node]
    frames = end_pfn - start_pfn
    # free_area_init_core asks for one descriptor more than there are pages
    mem_map_bytes = (frames + 1) * profile.struct_page_bytes[arch]
    mem_map_pages = -(-mem_map_bytes // PAGE_SIZE)
    too_small = TopologyError(
        "machine", f"node {node}", f"{frames * PAGE_SIZE >> 10} KiB is too little memory to boot with {profile.name}"
    )
    if low_end <= start_pfn:
        # All HIGHMEM: mem_map lies at the node's own end (NUMA-Q: remap_numa_kva), there is no boot memory.
        pgdat.mem_map_start, pgdat.mem_map_end = max(end_pfn - mem_map_pages, start_pfn), end_pfn
        return _hand_over(k, start_pfn, int(pgdat.mem_map_start))
    boots = k.vm[0].zero_pfn == NIL
    image_pages = (profile.kernel_start_bytes + profile.kernel_image_bytes) >> PAGE_SHIFT if boots else 0
    bootmem = Bootmem(start_pfn, low_end, start_pfn + image_pages)
    if image_pages + (bootmem.map_bytes >> PAGE_SHIFT) + 1 > low_end - start_pfn:
        raise too_small
    bootmem.free(start_pfn << PAGE_SHIFT, (low_end - start_pfn) << PAGE_SHIFT)
    if boots:
        k.vm[0].zero_pfn = _reserve_kernel(bootmem, profile) + profile.zero_page_offset_pages
    bootmem.reserve(bootmem.map_pfn << PAGE_SHIFT, bootmem.map_bytes)
    address = bootmem.alloc(mem_map_bytes, _CACHE_LINE_BYTES, profile.bootmem_goal_bytes)
    if address is None:
        raise too_small
    pgdat.mem_map_start = address >> PAGE_SHIFT
    pgdat.mem_map_end = int(pgdat.mem_map_start) + mem_map_pages
    _mark_reserved(k, bootmem, (int(pgdat.mem_map_start), int(pgdat.mem_map_end)))
    handed_over = free_all_bootmem(k, bootmem)
    if low_end < end_pfn:
        handed_over += _hand_over(k, low_end, end_pfn)
    return handed_over


def _check_nodes(k: Kernel, nodes: Sequence[tuple[int, int]], numa_fallback: str) -> None:
    if numa_fallback not in FALLBACKS:
        raise ConfigError("", "kernel.numa_fallback", f"unknown value {numa_fallback!r}", FALLBACKS)
    if len(nodes) != len(k.nodes) or not any(frames for _, frames in nodes):
        raise TopologyError("machine", "nodes", f"{len(k.nodes)} nodes, some with memory, wanted; got {list(nodes)}")
    end = 0
    for node, (start_pfn, frames) in enumerate(nodes):
        if frames and (start_pfn % ZONE_ALIGN_PAGES or start_pfn < end or start_pfn + frames > len(k.pages)):
            where = f"frames {start_pfn} to {start_pfn + frames}"
            rule = f"a node starts behind the one before it, at a multiple of {ZONE_ALIGN_PAGES} pages"
            raise TopologyError("machine", f"node {node}", f"{where}: {rule}")
        end = max(end, start_pfn + frames)


def boot(
    k: Kernel,
    nodes: Sequence[tuple[int, int]],
    arch: str,
    profile: Profile | str,
    numa_fallback: str,
    distance: Sequence[Sequence[int]],
    memfrac: Sequence[int] | None = None,
    lower_zone_reserve: Sequence[int] | None = None,
) -> None:
    """Boot the memory of a machine: zones, boot memory, `mem_map`, hand-over, zonelists (spec 1.2 to 1.6).

    Parameters
    ----------
    k : Kernel
        As `new_kernel` made it.
    nodes : sequence of (start_pfn, frames)
        One per node, ascending, starts at multiples of 512 pages; 0 frames = a node without memory.
    arch : {"x86-64", "i386"}
    profile : Profile or str
    numa_fallback : {"strict24", "nearest"}
        Spec C-1.
    distance : matrix of int
        SLIT distances, node by node.
    memfrac, lower_zone_reserve : sequence of int, optional
        The kernel's boot options, three and two ratios.

    Raises
    ------
    ConfigError, TopologyError
        Unknown names; a node that is misaligned, overlaps, or is too small to hold the kernel and its `mem_map`.

    Notes
    -----
    Simplified: no holes below 1 MB, no AP stacks; boot memory for bitmaps of the buddy and wait tables is not taken;
    frames of HIGHMEM carry no PG_highmem flag (their zone says it).
    """
    profile = get(profile) if isinstance(profile, str) else profile
    _check_nodes(k, nodes, numa_fallback)
    vm = k.vm[0]
    vm.profile = vm.vma_rules = profile.kernel
    vm.vma_index = VMA_AVL if profile.kernel <= KERNEL_2_4_0 else VMA_RBTREE
    k.distance[:] = distance
    map_start = 0
    for node, (start_pfn, frames) in enumerate(nodes):
        # init_bootmem puts each node at the front
        k.nodes[node].pgdat_next = vm.pgdat_list
        vm.pgdat_list = node
        sizes = zone_sizes(arch, start_pfn, frames, geometry_of(k).max_pfn) if frames else (0, 0, 0)
        map_start = free_area_init_node(
            k, node, start_pfn, sizes, profile, None, memfrac, lower_zone_reserve, map_start
        )
        if profile.kernel == KERNEL_2_2:
            if sizes[ZONE_HIGHMEM]:
                most = f"at most {MAXMEM_I386_PFN * PAGE_SIZE >> 20} MiB in all nodes"
                raise TopologyError("machine", "memory", f"linux-2.2 on i386 uses {most}; the machine has more")
            continue
        pages = 0
        if frames:
            low = (start_pfn, start_pfn + frames - sizes[ZONE_HIGHMEM])
            pages = _boot_node(k, node, low, start_pfn + frames, arch, profile)
        k.nodes[node].reserved_pages = frames - pages
    if profile.kernel == KERNEL_2_2:
        mem_init(k, nodes, arch, profile)
    if misaligned_zones(k):
        raise TopologyError("machine", "nodes", f"zones {misaligned_zones(k)} do not start at {ZONE_ALIGN_PAGES} pages")
    build_zonelists(k, numa_fallback == "nearest")
    vm.total_pages = sum(frames for _, frames in nodes)
    paging_init(k, int(vm.zero_pfn) - profile.zero_page_offset_pages)
    vm.highest_zone = max(int(zone.index) for zone in k.zones if zone["size"])
    memory_mib = vm.total_pages >> (20 - PAGE_SHIFT)
    below = (cluster for mib, cluster in profile.page_cluster_below_mib if memory_mib < mib)
    vm.page_cluster = next(below, profile.page_cluster)
    for name, value in profile.sysctl.items():
        setattr(vm, name, value)
    k.vmstat[:] = 0
