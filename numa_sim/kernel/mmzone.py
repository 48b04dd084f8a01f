"""Zones, watermarks and zonelists as the boot makes them: arch/*/mm/init.c and mm/page_alloc.c @2.4.37.

Plain Python, run once per machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from numa_sim.errors import ConfigError, TopologyError
from numa_sim.kernel.profiles import Profile
from numa_sim.state.constants import (
    GFP_DMA_BIT,
    GFP_HIGHMEM_BIT,
    KERNEL_2_2,
    MAX_ORDER,
    NIL,
    NR_ZONES,
    PAGE_SHIFT,
    PAGE_SIZE,
    WMARK_HIGH,
    WMARK_LOW,
    WMARK_MIN,
    ZONE_DMA,
    ZONE_HIGHMEM,
    ZONE_NORMAL,
)
from numa_sim.state.kernel import Kernel

ZONE_NAMES = ("DMA", "Normal", "HighMem")
ARCHES = ("x86-64", "i386")
FALLBACKS = ("strict24", "nearest")
DMA_END_PFN = (16 << 20) >> PAGE_SHIFT
MAXMEM_I386_PFN = (896 << 20) >> PAGE_SHIFT
"""Frames an i386 kernel maps permanently: 1 GB of kernel addresses less 128 MB for vmalloc, kmap and fixmap."""
MAX_I386_PFN = 1 << 20
"""4 GB: what two-level page tables reach (HIGHMEM without PAE)."""
ZONE_ALIGN_PAGES = 1 << (MAX_ORDER - 1)


def zone_sizes(arch: str, start_pfn: int, frames: int, max_pfn: int = MAX_I386_PFN) -> tuple[int, int, int]:
    """Frames of a node that lie in DMA, NORMAL and HIGHMEM.

    ``x86-64``: below 16 MB DMA, the rest NORMAL (arch/x86_64/mm/numa.c:setup_node_zones), so only the first node has
    a DMA zone. ``i386``: below 16 MB DMA, below 896 MB NORMAL, the rest HIGHMEM (arch/i386/mm/init.c:paging_init),
    cut by physical address, so that, as on NUMA-Q, further nodes are usually all HIGHMEM. Simplified: no holes.

    Parameters
    ----------
    max_pfn : int
        Frames that page tables can name on i386: 4 GB, or 64 GB with PAE.

    Raises
    ------
    ConfigError
        Unknown architecture.
    TopologyError
        Memory that page tables of i386 do not reach (the kernel would ignore it with a warning).
    """
    end_pfn = start_pfn + frames
    if arch == "x86-64":
        normal_end = end_pfn
    elif arch == "i386":
        if end_pfn > max_pfn:
            reach = "i386 without PAE" if max_pfn == MAX_I386_PFN else "i386 with PAE"
            most = f"at most {max_pfn * PAGE_SIZE >> 30} GiB in all nodes"
            raise TopologyError("machine", "memory", f"{reach} reaches {most}; the machine has more")
        normal_end = MAXMEM_I386_PFN
    else:
        raise ConfigError("", "machine.arch", f"unknown architecture {arch!r}", ARCHES)
    bounds = (0, DMA_END_PFN, max(normal_end, DMA_END_PFN), max(end_pfn, normal_end, DMA_END_PFN))
    sizes = [max(min(end_pfn, high) - max(start_pfn, low), 0) for low, high in pairwise(bounds)]
    return sizes[ZONE_DMA], sizes[ZONE_NORMAL], sizes[ZONE_HIGHMEM]


def wait_table_size(profile: Profile, pages: int) -> int:
    """Entries of a zone's hash of page wait queues: a power of two.  `wait_table_size` @2.4.37 (@2.4.0: none)."""
    if profile.pages_per_waitqueue == 0:
        return 0
    wanted = pages // profile.pages_per_waitqueue
    size = 1
    while size < wanted:
        size <<= 1
    return min(size, profile.wait_table_max)


def _checked(ratios: Sequence[int], n: int, option: str) -> Sequence[int]:
    """Refuse ratios the kernel would divide by zero with."""
    if len(ratios) != n or any(ratio < 1 for ratio in ratios):
        raise ConfigError("", option, f"{n} whole numbers >= 1 wanted, got {list(ratios)}")
    return ratios


def setup_watermarks(
    k: Kernel, node: int, ratios: Sequence[int], reserves: Sequence[int] | None, profile: Profile
) -> None:
    """Set min, low and high of a node's zones for every class that may use them (spec 1.4, `free_area_init_core`).

    ``watermarks[c]`` of a zone is what a request whose first choice is zone ``c`` meets there; a class whose own zone
    is empty has none (zeros).  Without `reserves` (before 2.4.27) every class meets the same marks.
    """
    for c in range(NR_ZONES):
        own = k.zones[node * NR_ZONES + c]
        if own["size"] == 0:
            continue
        mark = min(max(int(own.realsize) // ratios[c], profile.zone_balance_min), profile.zone_balance_max)
        own.watermarks[c] = (mark, 2 * mark, 3 * mark)
        above = int(own.realsize)
        for z in range(c - 1, -1, -1):
            lower = k.zones[node * NR_ZONES + z]
            if lower["size"] == 0:
                continue
            base = int(lower.watermarks[z, WMARK_MIN])
            reserve = above // reserves[z] if reserves is not None else 0
            lower.watermarks[c, WMARK_MIN] = base + reserve
            lower.watermarks[c, WMARK_LOW] = 2 * base + reserve
            lower.watermarks[c, WMARK_HIGH] = 3 * base + reserve
            above += int(lower.realsize)


def _add_to_freepages(k: Kernel, node: int) -> None:
    """The machine's own marks are its zones' added up (`freepages` @2.4.0; nobody asks later)."""
    vm = k.vm[0]
    for zone in k.zones[node * NR_ZONES : (node + 1) * NR_ZONES]:
        marks = zone.watermarks[zone.index]
        vm.freepages_min += marks[WMARK_MIN]
        vm.freepages_low += marks[WMARK_LOW]
        vm.freepages_high += marks[WMARK_HIGH]


def free_area_init_node(
    k: Kernel,
    node: int,
    start_pfn: int,
    sizes: Sequence[int],
    profile: Profile,
    holes: Sequence[int] | None = None,
    memfrac: Sequence[int] | None = None,
    lower_zone_reserve: Sequence[int] | None = None,
    map_start: int = 0,
) -> int:
    """Set up the zones of a node, all frames still out of the lists.  `free_area_init_core` @2.4.37.

    Parameters
    ----------
    sizes, holes : sequence of int
        Pages per zone; `sizes` includes the `holes`, which only count for the watermarks.
    memfrac, lower_zone_reserve : sequence of int, optional
        The boot options of these names, in place of the profile's ratios.
    map_start : int
        First free byte of ``k.buddy_map``.

    Returns
    -------
    int
        First byte of ``k.buddy_map`` behind this node's maps.
    """
    ratios = _checked(memfrac or profile.zone_balance_ratio, NR_ZONES, "kernel.memfrac")
    reserves: Sequence[int] | None = None
    if profile.lower_zone_reserve_ratio is not None:
        reserves = lower_zone_reserve or profile.lower_zone_reserve_ratio
        reserves = _checked(reserves, NR_ZONES - 1, "kernel.lower_zone_reserve")
    pgdat = k.nodes[node]
    pgdat.node_start_pfn, pgdat.node_size, pgdat.nr_zones = start_pfn, sum(sizes), 0
    shift = int(k.vm[0].section_shift)
    for index in range(NR_ZONES):
        zone_id = node * NR_ZONES + index
        zone = k.zones[zone_id]
        frames = sizes[index]
        zone.node, zone.index, zone.start_pfn = node, index, start_pfn
        zone["size"] = frames
        zone.realsize = frames - (holes[index] if holes else 0)
        zone.free_head[:] = NIL
        zone.nr_free[:] = 0
        if frames == 0:
            continue
        pgdat.nr_zones = index + 1
        zone.wait_table_size = wait_table_size(profile, frames)
        for order in range(MAX_ORDER - 1):
            zone.map_start[order] = map_start
            map_start += ((frames - 1) >> (order + 1)) + 1
        k.section_zone[start_pfn >> shift : (start_pfn + frames - 1 >> shift) + 1] = zone_id
        start_pfn += frames
    if profile.kernel != KERNEL_2_2:
        setup_watermarks(k, node, ratios, reserves, profile)
        _add_to_freepages(k, node)
    return map_start


def misaligned_zones(k: Kernel) -> list[int]:
    """Zone ids whose first frame is not a multiple of the largest block (2.4 prints "wrong zone alignment")."""
    return [z for z, zone in enumerate(k.zones) if zone["size"] and zone.start_pfn % ZONE_ALIGN_PAGES]


def _zone_slots(gfp: int) -> tuple[int, ...]:
    """Zone indexes a request may use, first choice first; DMA wins over HIGHMEM."""
    if gfp & GFP_DMA_BIT:
        return (ZONE_DMA,)
    if gfp & GFP_HIGHMEM_BIT:
        return (ZONE_HIGHMEM, ZONE_NORMAL, ZONE_DMA)
    return (ZONE_NORMAL, ZONE_DMA)


def pgdat_order(k: Kernel) -> list[int]:
    """Nodes in pgdat_list order: reverse order of initialisation."""
    order = []
    node = int(k.vm[0].pgdat_list)
    while node != NIL:
        order.append(node)
        node = int(k.nodes[node].pgdat_next)
    return order


def nearest_order(k: Kernel, node: int) -> list[int]:
    """All nodes by distance from `node`, itself first; of equals, the next higher number first, then from 0 on.

    As `find_next_best_node` of later kernels prefers, less its load balancing between equally near nodes.
    """
    n = len(k.nodes)
    return sorted(range(n), key=lambda m: (m != node, int(k.distance[node, m]), (m - node) % n))


def build_zonelists(k: Kernel, nearest: bool = False) -> None:
    """Fill `zonelists` and `node_order` of every node.

    Real 2.4 (`build_zonelists` and mm/numa.c): a zonelist holds the node's own zones only, and the nodes are tried
    one after the other. Nearest: a zonelist goes on with the other nodes' zones, and it is the only one tried; a zone
    without marks for some class (its node lacks that class's zone) gets them from the next lower class it knows.
    2.2 has no zonelists, and each node stands for the whole machine.
    """
    ring = pgdat_order(k)
    k.vm[0].numa_nearest = int(nearest)
    k.zonelists[:] = NIL
    k.node_order[:] = NIL
    if k.vm[0].profile == KERNEL_2_2:
        k.node_order[: len(k.nodes), 0] = range(len(k.nodes))
        return
    for node in range(len(k.nodes)):
        at = ring.index(node)
        sources = nearest_order(k, node) if nearest else [node]
        for gfp in range(k.zonelists.shape[1]):
            zones = [n * NR_ZONES + slot for n in sources for slot in _zone_slots(gfp)]
            zones = [zone for zone in zones if k.zones["size"][zone] > 0]
            k.zonelists[node, gfp, : len(zones)] = zones
        order = [node] if nearest else [n for n in ring[at:] + ring[:at] if k.nodes[n].node_size > 0]
        k.node_order[node, : len(order)] = order
    if nearest:
        _fill_missing_classes(k)


def _fill_missing_classes(k: Kernel) -> None:
    """Give every zone marks for all classes: on a remote zonelist a request's class may be one its node lacks."""
    for zone in k.zones:
        index = int(zone.index)
        if zone["size"]:
            zone.watermarks[:index] = zone.watermarks[index]
            for c in range(index + 1, NR_ZONES):
                if not zone.watermarks[c].any():
                    zone.watermarks[c] = zone.watermarks[c - 1]
