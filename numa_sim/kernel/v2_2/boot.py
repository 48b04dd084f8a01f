"""Where the boot of 2.2 leaves memory: mem_init and free_area_init, arch/i386/mm/init.c and mm/page_alloc.c @2.2.1.

There is no boot allocator: the kernel image is followed by one mem_map for all memory, and everything else is freed
page by page, upwards.  All of it is on the boot node, whatever node a frame described by mem_map is on.

Simplified: page tables of the kernel and the bitmaps of the buddy lists take no memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from numa_sim.compiled import entry
from numa_sim.errors import TopologyError
from numa_sim.kernel.profiles.profile import Profile
from numa_sim.kernel.v2_2.buddy import FREE_AREA, TOP_ORDER, TOP_PAGES, insert_block
from numa_sim.state.constants import NIL, PAGE_SHIFT, PAGE_SIZE, PG_reserved
from numa_sim.state.kernel import Kernel
from numa_sim.state.layout import MAX_VIRGIN_RUNS

FREEPAGES_SHIFT = 7
FREEPAGES_MIN, FREEPAGES_MAX = 10, 256
"""freepages.min: one page in 2**FREEPAGES_SHIFT, within these bounds."""

_insert_block = entry(insert_block)


def set_freepages(k: Kernel, pages: int) -> None:
    """The marks of a machine of `pages` pages: freepages.min, low = 2 min, high = 3 min (spec 3.1)."""
    vm = k.vm[0]
    vm.freepages_min = min(max(pages >> FREEPAGES_SHIFT, FREEPAGES_MIN), FREEPAGES_MAX)
    vm.freepages_low, vm.freepages_high = 2 * vm.freepages_min, 3 * vm.freepages_min


def free_range(k: Kernel, start_pfn: int, end_pfn: int) -> None:
    """Give frames [start, end) to the lists, as if freed one by one upwards; no frame beside them may be free.

    Whole largest blocks are noted as a virgin range of their zone, as long as none is linked.
    """
    pfn = start_pfn
    while pfn < end_pfn:
        zone = k.zones[int(k.section_zone[pfn >> int(k.vm[0].section_shift)])]
        stop = min(end_pfn, int(zone.start_pfn) + int(zone["size"]))
        whole = (stop - pfn) // TOP_PAGES * TOP_PAGES
        if pfn % TOP_PAGES == 0 and whole and zone.nr_virgin < MAX_VIRGIN_RUNS and _none_is_linked(k):
            zone.virgin_start[zone.nr_virgin], zone.virgin_end[zone.nr_virgin] = pfn, pfn + whole
            zone.nr_virgin += 1
            zone.free_pages += whole
            k.vm[0].nr_free_pages += whole
            k.zones[FREE_AREA].nr_free[TOP_ORDER] += whole // TOP_PAGES
            pfn += whole
            continue
        order = TOP_ORDER
        while pfn & ((1 << order) - 1) or pfn + (1 << order) > stop:
            order -= 1
        _insert_block(k, pfn, order)
        pfn += 1 << order


def _none_is_linked(k: Kernel) -> bool:
    return bool(k.zones[FREE_AREA].free_head[TOP_ORDER] == NIL)


def mem_init(k: Kernel, nodes: Sequence[tuple[int, int]], arch: str, profile: Profile) -> None:
    """Reserve the kernel and mem_map on the first node with memory, and free the rest of all nodes.

    Parameters
    ----------
    nodes : sequence of (start_pfn, frames)
        Their zones are set up.

    Raises
    ------
    TopologyError
        If the boot node is too small.
    """
    boot_node = next(node for node, (_, frames) in enumerate(nodes) if frames)
    start, frames = nodes[boot_node]
    image = start + (profile.kernel_start_bytes >> PAGE_SHIFT)
    image_end = image + (profile.kernel_image_bytes >> PAGE_SHIFT)
    described = max(start_pfn + size for start_pfn, size in nodes)
    map_end = image_end + -(-described * profile.struct_page_bytes[arch] // PAGE_SIZE)
    if map_end >= start + frames:
        need = f"{(map_end - start) * PAGE_SIZE >> 10} KiB for the kernel and the mem_map of all nodes"
        raise TopologyError("machine", f"node {boot_node}", f"too little memory to boot {profile.name}: {need}")
    k.vm[0].zero_pfn = image + profile.zero_page_offset_pages
    k.pages["flags"][start] |= PG_reserved
    k.pages["flags"][image:image_end] |= PG_reserved
    pgdat = k.nodes[boot_node]
    pgdat.mem_map_start, pgdat.mem_map_end = image_end, map_end
    pgdat.reserved_pages = 1 + map_end - image
    free_range(k, start + 1, image)
    free_range(k, map_end, start + frames)
    for start_pfn, size in nodes[boot_node + 1 :]:
        free_range(k, start_pfn, start_pfn + size)
    set_freepages(k, sum(size for _, size in nodes))
