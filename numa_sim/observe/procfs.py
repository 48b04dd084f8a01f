"""The state of a machine as text, laid out as the kernel's own files and tools lay it out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numa_sim.kernel.mmzone import ZONE_NAMES
from numa_sim.state.constants import (
    GFP_DMA_BIT,
    GFP_HIGHMEM_BIT,
    MAX_ORDER,
    NIL,
    NR_ZONES,
    PAGE_SIZE,
    VMSTAT,
    WMARK_HIGH,
    WMARK_LOW,
    WMARK_MIN,
    ZONE_HIGHMEM,
)
from numa_sim.state.kernel import Kernel

_NUMASTAT = ("numa_hit", "numa_miss", "numa_foreign", "interleave_hit", "local_node", "other_node")
_REQUESTS = (("GFP_KERNEL", 0), ("GFP_HIGHUSER", GFP_HIGHMEM_BIT), ("GFP_DMA", GFP_DMA_BIT))
_TOOL_COLUMN = 16


def _zones(k: Kernel) -> Iterator[Any]:
    """Zones that have pages."""
    return (zone for zone in k.zones if zone["size"] > 0)


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def buddyinfo(k: Kernel) -> str:
    """Free blocks per zone and order, as ``/proc/buddyinfo`` (2.6 and later; 2.4 shows them with SysRq-M only)."""
    lines = []
    for zone in _zones(k):
        blocks = "".join(f"{zone.nr_free[order]:6d} " for order in range(MAX_ORDER))
        lines.append(f"Node {zone.node}, zone {ZONE_NAMES[zone.index]:>8} {blocks}")
    return _text(lines)


def zoneinfo(k: Kernel) -> str:
    """Zones with marks and list sizes in the layout of ``/proc/zoneinfo`` of 2.6 (2.4 has no such file).

    The marks are those a request meets whose first choice is the zone itself. ``protection`` is, per class, how much
    higher the min mark is for requests that could have used a higher zone (2.4.37: lower_zone_reserve). The LRU
    counters of 2.4 are cumulative per class; shown is the zone's own part.
    """
    lines = []
    for zone in _zones(k):
        own = zone.watermarks[zone.index]
        protection = [max(int(row[WMARK_MIN] - own[WMARK_MIN]), 0) for row in zone.watermarks]
        lines += [
            f"Node {zone.node}, zone {ZONE_NAMES[zone.index]:>8}",
            f"  pages free     {zone.free_pages}",
            f"        min      {own[WMARK_MIN]}",
            f"        low      {own[WMARK_LOW]}",
            f"        high     {own[WMARK_HIGH]}",
            f"        active   {_own_part(k, zone, 'nr_active_pages')}",
            f"        inactive {_own_part(k, zone, 'nr_inactive_pages')}",
            f"        spanned  {zone['size']}",
            f"        present  {zone.realsize}",
            f"        protection: ({', '.join(map(str, protection))})",
            f"  need_balance:      {zone.need_balance}",
            f"  start_pfn:         {zone.start_pfn}",
        ]
    return _text(lines)


def _own_part(k: Kernel, zone: Any, field: str) -> int:
    """A cumulative LRU counter of the zone without the lower zones' part."""
    below = int(k.zones[field][zone.node * NR_ZONES + zone.index - 1]) if zone.index > 0 else 0
    return int(zone[field]) - below


def zonelists(k: Kernel) -> str:
    """Order in which memory is tried: the nodes per node, and the zones of each kind of request.

    With ``nearest`` the node line is read off the zonelist, which then goes on over the other nodes.
    """
    lines = []
    for node in range(len(k.nodes)):
        order = _row(k.node_order[node])
        if k.vm[0].numa_nearest:
            order = list(dict.fromkeys(zone // NR_ZONES for zone in _row(k.zonelists[node, GFP_HIGHMEM_BIT])))
        lines.append(f"Node {node}: Fallback order {' '.join(map(str, order)) or 'none'}")
        for name, gfp in _REQUESTS:
            zones = [f"{z // NR_ZONES}:{ZONE_NAMES[z % NR_ZONES]}" for z in _row(k.zonelists[node, gfp])]
            lines.append(f"  {name:<13}{' '.join(zones) or '(empty)'}")
    return _text(lines)


def _row(array: Any) -> list[int]:
    """A list closed by NIL."""
    values = [int(value) for value in array]
    return values[: values.index(NIL)]


def meminfo(k: Kernel) -> str:
    """``/proc/meminfo`` of 2.4: bytes in the table on top, kB below; total is what the boot handed over.

    Shared and buffer memory are always 0 (not modelled).
    """
    vm = k.vm[0]
    total = sum(int(n.node_size - n.reserved_pages) for n in k.nodes)
    free = sum(int(zone.free_pages) for zone in k.zones)
    high = [zone for zone in _zones(k) if zone.index == ZONE_HIGHMEM]
    high_total = sum(int(zone.realsize) - _mem_map_pages(k, zone) for zone in high)
    high_free = sum(int(zone.free_pages) for zone in high)
    swap_cached = int(vm.nr_swapcache_pages)
    cached = max(int(vm.page_cache_size) - swap_cached, 0)
    swap_total, swap_free = int(vm.total_swap_pages), int(vm.nr_swap_pages)
    memory = " ".join(f"{pages * PAGE_SIZE:8d}" for pages in (total, total - free, free, 0, 0, cached))
    swap = " ".join(f"{pages * PAGE_SIZE:8d}" for pages in (swap_total, swap_total - swap_free, swap_free))
    rows = {
        "MemTotal:": total,
        "MemFree:": free,
        "MemShared:": 0,
        "Buffers:": 0,
        "Cached:": cached,
        "SwapCached:": swap_cached,
        "Active:": int(vm.nr_active_pages),
        "Inactive:": int(vm.nr_inactive_pages),
        "HighTotal:": high_total,
        "HighFree:": high_free,
        "LowTotal:": total - high_total,
        "LowFree:": free - high_free,
        "SwapTotal:": swap_total,
        "SwapFree:": swap_free,
    }
    lines = ["        total:    used:    free:  shared: buffers:  cached:", f"Mem:  {memory}", f"Swap: {swap}"]
    return _text(lines + [f"{name:<14}{pages * PAGE_SIZE >> 10:8d} kB" for name, pages in rows.items()])


def _mem_map_pages(k: Kernel, zone: Any) -> int:
    """Pages of the zone that its node's `mem_map` takes."""
    node = k.nodes[zone.node]
    end = min(int(node.mem_map_end), int(zone.start_pfn + zone["size"]))
    return max(end - max(int(node.mem_map_start), int(zone.start_pfn)), 0)


def numastat(k: Kernel) -> str:
    """Counters per node as the ``numastat`` tool prints them, pages."""
    lines = [" " * _TOOL_COLUMN + "".join(f"{f'node{node}':>{_TOOL_COLUMN}}" for node in range(len(k.nodes)))]
    for name in _NUMASTAT:
        values = k.vmstat[:, VMSTAT.index(name)]
        lines.append(f"{name:<{_TOOL_COLUMN}}" + "".join(f"{value:>{_TOOL_COLUMN}d}" for value in values))
    return _text(lines)
