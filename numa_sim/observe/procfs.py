"""The state of a machine as text, laid out as the kernel's own files and tools lay it out.

``/proc/meminfo`` and ``/proc/slabinfo`` are those of 2.4.  2.4 has no vmstat, zoneinfo, buddyinfo and numastat: they
have the layout and the names of later kernels, so that tools which read those read ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from numa_sim.compiled import entry
from numa_sim.errors import SimulationError
from numa_sim.kernel.mmzone import ZONE_NAMES
from numa_sim.kernel.slab.cache import cache_name, chain
from numa_sim.kernel.slab.kernel_caches import KERNEL_CACHES, VM_AREA_CACHE
from numa_sim.kernel.structures import count_structures
from numa_sim.kernel.v2_2.buddy import blocks_by_zone
from numa_sim.kernel.v2_4_0.pressure import inactive_target
from numa_sim.state.constants import (
    GFP_DMA_BIT,
    GFP_HIGHMEM_BIT,
    KERNEL_2_2,
    KERNEL_2_4_0,
    KIND_INODE,
    NIL,
    NR_ZONES,
    PAGE_SIZE,
    SWAP_MAP_BAD,
    WMARK_HIGH,
    WMARK_LOW,
    WMARK_MIN,
    ZONE_HIGHMEM,
)
from numa_sim.state.counters import NR_DIRTY, NR_FILE_PAGES, NR_WRITEBACK, TABLE_PAGES, TABLE_PAGES_FREED, VMSTAT
from numa_sim.state.kernel import Kernel

_inactive_target = entry(inactive_target)

_NUMASTAT = ("numa_hit", "numa_miss", "numa_foreign", "interleave_hit", "local_node", "other_node")
_REQUESTS = (("GFP_KERNEL", 0), ("GFP_HIGHUSER", GFP_HIGHMEM_BIT), ("GFP_DMA", GFP_DMA_BIT))
_TOOL_COLUMN = 16


def _zones(k: Kernel) -> Iterator[Any]:
    """Zones that have pages."""
    return (zone for zone in k.zones if zone["size"] > 0)


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"


def buddyinfo(k: Kernel) -> str:
    """Free blocks per zone and order, as ``/proc/buddyinfo`` (2.6 and later; 2.4 shows them with SysRq-M only).

    2.2 has one set of lists; shown is where their blocks are.
    """
    lines = []
    free = blocks_by_zone(k) if k.vm[0].profile == KERNEL_2_2 else k.zones.nr_free
    for zone in _zones(k):
        blocks = "".join(f"{n:6d} " for n in free[zone.node * NR_ZONES + zone.index])
        lines.append(f"Node {zone.node}, zone {ZONE_NAMES[zone.index]:>8} {blocks}")
    return _text(lines)


def zoneinfo(k: Kernel, counters: bool = False) -> str:
    """Zones with marks and list sizes in the layout of ``/proc/zoneinfo`` of 2.6 (2.4 has no such file).

    The marks are those a request meets whose first choice is the zone itself. ``protection`` is, per class, how much
    higher the min mark is for requests that could have used a higher zone (2.4.37: lower_zone_reserve). The LRU
    counters of 2.4 are cumulative per class; shown is the zone's own part.  With `counters` the zone's free pages stand
    there once more as ``nr_free_pages``, where tools look for them.
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
            *([f"    nr_free_pages {zone.free_pages}"] if counters else []),
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


def memory_rows(k: Kernel) -> dict[str, int]:
    """What ``/proc/meminfo`` of the kernel that runs says of the whole machine, pages, in its order.

    2.4.0 shows its inactive lists one by one; 2.2 has no lists, and its cache includes the swap cache.  Shared memory
    is always 0, as in 2.4; buffer memory too: no page is only buffers here.
    """
    vm = k.vm[0]
    total = sum(_node_total(node) for node in k.nodes)
    free = sum(int(zone.free_pages) for zone in k.zones)
    high = [zone for zone in _zones(k) if zone.index == ZONE_HIGHMEM]
    high_total = sum(int(zone.realsize) - _mem_map_pages(k, zone) for zone in high)
    high_free = sum(int(zone.free_pages) for zone in high)
    buffers, swap_cached = int(vm.buffermem_pages), int(vm.nr_swapcache_pages)
    cached = max(int(vm.page_cache_size) - buffers - (0 if vm.profile == KERNEL_2_2 else swap_cached), 0)
    swap = {"SwapTotal": int(vm.total_swap_pages), "SwapFree": int(vm.nr_swap_pages)}
    rows = {"MemTotal": total, "MemFree": free, "MemShared": 0, "Buffers": buffers, "Cached": cached}
    if vm.profile == KERNEL_2_2:
        return rows | swap
    rows |= {"SwapCached": swap_cached, "Active": int(vm.nr_active_pages)}
    if vm.profile == KERNEL_2_4_0:
        rows["Inact_dirty"] = int(vm.nr_inactive_dirty_pages)
        rows["Inact_clean"] = int(k.zones.inactive_clean_pages.sum())
        rows["Inact_target"] = _inactive_target(k)
    else:
        rows["Inactive"] = int(vm.nr_inactive_pages)
    rows |= {"HighTotal": high_total, "HighFree": high_free}
    return rows | {"LowTotal": total - high_total, "LowFree": free - high_free} | swap


def meminfo(k: Kernel) -> str:
    """``/proc/meminfo`` of 2.4: bytes in the table on top, kB below; total is what the boot handed over."""
    rows = memory_rows(k)
    total, free, swap_total, swap_free = (rows[name] for name in ("MemTotal", "MemFree", "SwapTotal", "SwapFree"))
    columns = (total, total - free, free, rows["MemShared"], rows["Buffers"], rows["Cached"])
    memory = " ".join(f"{pages * PAGE_SIZE:8d}" for pages in columns)
    swap = " ".join(f"{pages * PAGE_SIZE:8d}" for pages in (swap_total, swap_total - swap_free, swap_free))
    lines = ["        total:    used:    free:  shared: buffers:  cached:", f"Mem:  {memory}", f"Swap: {swap}"]
    return _text(lines + [f"{name + ':':<14}{_kib(pages):8d} kB" for name, pages in rows.items()])


def _node_total(node: Any) -> int:
    """Pages of a node that the boot handed over."""
    return int(node.node_size - node.reserved_pages)


def _kib(pages: int) -> int:
    return pages * PAGE_SIZE >> 10


def node_meminfo(k: Kernel, node: int) -> str:
    """Memory of one node, as ``/sys/devices/system/node/nodeN/meminfo`` of later kernels, kB."""
    zones = k.zones[node * NR_ZONES : (node + 1) * NR_ZONES]
    counters = k.vmstat[node]
    total, free = _node_total(k.nodes[node]), int(zones.free_pages.sum())
    rows = {
        "MemTotal": total,
        "MemFree": free,
        "MemUsed": total - free,
        "Active": int(zones.nr_active_pages.max()),
        "Inactive": int(zones.nr_inactive_pages.max()),
        "Dirty": int(counters[NR_DIRTY]),
        "Writeback": int(counters[NR_WRITEBACK]),
        "FilePages": int(counters[NR_FILE_PAGES]),
        "PageTables": int(counters[TABLE_PAGES] - counters[TABLE_PAGES_FREED]),
    }
    return _text([f"Node {node} {name + ':':<16}{_kib(pages):8d} kB" for name, pages in rows.items()])


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


def node_numastat(k: Kernel, node: int) -> str:
    """Counters of one node, as ``/sys/devices/system/node/nodeN/numastat``, pages."""
    return _text([f"{name} {k.vmstat[node, VMSTAT.index(name)]}" for name in _NUMASTAT])


_RENAMED: Final = {"interleave_hit": "numa_interleave", "local_node": "numa_local", "other_node": "numa_other"}
"""Names that /proc/vmstat has and numastat has not."""


def vmstat(k: Kernel) -> str:
    """Gauges and counters of the machine, as ``/proc/vmstat`` of later kernels.

    Names that end the list and that no kernel has are the model's own.  pgpgin and pgpgout count KiB, the rest pages
    or events.
    """
    return _vmstat(k, slice(None))


def node_vmstat(k: Kernel, node: int) -> str:
    """As `vmstat`, of one node alone (``/sys/devices/system/node/nodeN/vmstat``)."""
    return _vmstat(k, slice(node, node + 1))


def _vmstat(k: Kernel, nodes: slice) -> str:
    counters = dict(zip(VMSTAT, k.vmstat[nodes].sum(axis=0).tolist(), strict=True))
    zones = {
        name: k.zones[field].reshape(-1, NR_ZONES)[nodes]
        for name, field in (("free", "free_pages"), ("active", "nr_active_pages"), ("inactive", "nr_inactive_pages"))
    }
    rows = {
        "nr_free_pages": int(zones["free"].sum()),
        # Cumulative per class: the highest class counts every page of its node.
        "nr_active": int(zones["active"].max(axis=1).sum()),
        "nr_inactive": int(zones["inactive"].max(axis=1).sum()),
        "nr_page_table_pages": counters["table_pages"] - counters["table_pages_freed"],
    }
    rows |= {name: counters[name] for name in VMSTAT if name.startswith("nr_")}
    rows |= {_RENAMED.get(name, name): value for name, value in counters.items()}
    return _text([f"{name} {value}" for name, value in rows.items()])


def slabinfo(k: Kernel) -> str:
    """``/proc/slabinfo`` of 2.4 (version 1.1): one line per cache, in the order of the chain.

    Objects in use and in all slabs, bytes of an object, slabs in use, all slabs, pages per slab; on machines of several
    CPUs also what a CPU may keep, and how many it takes at a time.  With ``[kernel] slab = false`` caches without slabs
    are left out, and the structures of the kernel itself are counted, but take no memory: sizes and slabs of 0.
    """
    if k.vm[0].slab_objects:
        version = "1.1 (SMP)" if len(k.cpus) > 1 else "1.1"
        return _text([f"slabinfo - version: {version}", *(_cache_row(k, c) for c in chain(k))])
    rows = {cache_name(k, c): _cache_row(k, c) for c in chain(k) if k.kmem_caches[c].list_length.any()}
    counts = {KERNEL_CACHES[row - VM_AREA_CACHE][0]: n for row, n in count_structures(k).items()}
    counts |= {"inode_cache": int((k.mappings.kind == KIND_INODE).sum())}
    rows = {name: f"{name:<17} {n:6d} {n:6d} {0:6d} {0:4d} {0:4d} {1:4d}" for name, n in counts.items()} | rows
    return _text(["slabinfo - version: 1.1", *rows.values()])


def _cache_row(k: Kernel, c: int) -> str:
    """A slab cache's line."""
    cache = k.kmem_caches[c]
    full, partial, free = (int(n) for n in cache.list_length)
    slabs = full + partial + free
    row = f"{cache_name(k, c):<17} {cache.active:6d} {slabs * cache.num:6d} {cache.objsize:6d}"
    row += f" {full + partial:4d} {slabs:4d} {1 << int(cache.gfporder):4d}"
    return row + f" : {cache.limit:4d} {cache.batchcount:4d}" if len(k.cpus) > 1 and k.vm[0].slab_objects else row


def swaps(k: Kernel, names: Sequence[str] = ()) -> str:
    """Swap areas as ``/proc/swaps`` of 2.4: size and use in kB, by index; `names` are those of the areas.

    The header and bad slots count in neither.
    """
    lines = ["Filename\t\t\tType\t\tSize\tUsed\tPriority"]
    for index in range(int(k.vm[0].nr_swapfiles)):
        area = k.swap_info[index]
        if area.flags == 0:
            continue
        uses = k.swap_map[int(area.map_start) : int(area.map_start + area["max"])]
        used = int(((uses != 0) & (uses != SWAP_MAP_BAD)).sum())
        name = names[index] if index < len(names) else f"swap{index}"
        kind = "file\t\t" if area.file else "partition\t"
        lines.append(f"{name:<31} {kind}{_kib(int(area.pages))}\t{_kib(used)}\t{area.prio}")
    return _text(lines)


FILES: Final[dict[str, Callable[[Kernel], str]]] = {
    "meminfo": meminfo,
    "vmstat": vmstat,
    "zoneinfo": zoneinfo,
    "buddyinfo": buddyinfo,
    "slabinfo": slabinfo,
    "numastat": numastat,
    "zonelists": zonelists,
    "swaps": swaps,
}
"""Texts about the whole machine, by name."""
NODE_FILES: Final[dict[str, Callable[[Kernel, int], str]]] = {
    "meminfo": node_meminfo,
    "numastat": node_numastat,
    "vmstat": node_vmstat,
}
"""Texts about one node, by the name behind ``nodeN/``."""


def texts(k: Kernel, swap_names: Sequence[str] = ()) -> dict[str, str]:
    """Every text about the whole machine at this moment, by name; `swap_names` are those of the swap areas by index."""
    return {name: text(k, name, swap_names) for name in FILES}


def text(k: Kernel, name: str, swap_names: Sequence[str] = ()) -> str:
    """One text at this moment.

    Parameters
    ----------
    name : str
        A key of `FILES`, or ``nodeN/`` and a key of `NODE_FILES`: ``"meminfo"``, ``"node1/numastat"``.
    swap_names : sequence of str
        Names of the swap areas by their index, for ``swaps``.

    Raises
    ------
    SimulationError
        If there is no such text.
    """
    if name == "swaps":
        return swaps(k, swap_names)
    if name in FILES:
        return FILES[name](k)
    folder, _, file = name.partition("/")
    n_nodes = int(k.vm[0].nr_nodes)
    node = next((n for n in range(n_nodes) if folder == f"node{n}"), None)
    if node is None or file not in NODE_FILES:
        known = f"{', '.join(FILES)}, and {', '.join(NODE_FILES)} in node0/ to node{n_nodes - 1}/"
        raise SimulationError(f"procfs: there is no {name!r}; there are {known}")
    return NODE_FILES[file](k, node)
