"""Two numbers that say whether two runs were the same run: the hash of what happened and that of how it ended."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any, Final

import numpy as np

from numa_sim.state.constants import MAX_ORDER, NIL, NR_ZONES
from numa_sim.state.kernel import Kernel

__all__ = ["event_hash", "state_hash", "touched_frames"]

_CHUNK: Final = 1 << 16

_OBSERVING: Final = {
    # How the run was watched and how the host ran it, not what the machine is in.
    "vm": ("current_task", "current_cpu", "record_events", "events_used", "clocks_moved"),
    "tasks": ("access_next", "access_end", "access_ready"),
    "cpus": ("stop_reason",),
}
_FED_AS_ZERO: Final = {
    # The same, of what came to be recorded later: hashes of runs that do not record it stay what they were.
    "vm": ("fault_latency",),
    "tasks": ("fault_start_ns", "fault_kind"),
}
_OF_POLICIES: Final = {
    # Of memory policies, fed with them; left out while there are none: hashes of such runs stay what they were.
    "vm": ("nr_policies", "reclaim_policy"),
    "tasks": ("mempolicy", "il_next", "got_policy", "alloc_interleave"),
    "vmas": ("vm_policy",),
}
_SMALL: Final = (
    "section_zone", "zones", "nodes", "zonelists", "node_order", "distance", "tasks", "mms", "mappings",
    "swap_info", "cpus", "tlb", "tlb_victim", "latency", "paths", "channels", "curves", "traffic", "vmstat",
    "time_parts", "costs", "files", "extents", "disks", "locks",
)  # fmt: skip


def event_hash(k: Kernel) -> str:
    """Hash of all events so far: their number (hex) and the running hash.

    The same whether or not the events were recorded.
    """
    vm = k.vm[0]
    return f"{int(vm.event_count):x}-{int(vm.event_hash):016x}"


def state_hash(k: Kernel) -> str:
    """BLAKE2b (128 bits, hex) of the machine's state.

    Field by field and little-endian, so it is the same in every process and on every platform.  Frames the
    simulation never touched are left out, and so are recorded events, access buffers and other things that depend
    on how the run was observed; the slots of a swap area nobody used are represented by its `swap_info` alone.  On
    machines with files buffers and the contents of files' blocks belong to it.
    """
    digest = hashlib.blake2b(digest_size=16)
    _feed(digest, "vm", k.vm)
    for name in _SMALL:
        # Behind a machine's own lists those of its memory policies follow, which say nothing the policies do not.
        own = slice(len(k.nodes)) if name in ("zonelists", "node_order") else slice(None)
        _feed(digest, name, getattr(k, name)[own])
    _feed(digest, "vmas", k.vmas[: int(k.vm[0].vma_used)])
    _feed_policies(digest, k)
    has_files = bool(k.disks.blocks.any())
    for start, end in touched_frames(k):
        digest.update(f"frames {start} {end}\n".encode())
        for at in range(start, end, _CHUNK):
            to = min(at + _CHUNK, end)
            _feed(digest, "pages", k.pages[at:to])
            _feed(digest, "tags", k.tags[at:to])
            if has_files:
                _feed(digest, "buffers", k.buffers[at:to])
    _feed_buddy_map(digest, k)
    used = int(k.vm[0].table_used)
    _feed(digest, "table_info", k.table_info[:used])
    for at in range(0, used, 256):
        _feed(digest, "tables", k.tables[at : min(at + 256, used)])
    _feed_swap(digest, k)
    for disk in k.disks:
        start = int(disk.tags_start)
        _feed(digest, "disk_tags", k.disk_tags[start : start + int(disk.next_block)])
    _feed_kernel_memory(digest, k)
    ring = len(k.io)
    in_flight = [i % ring for i in range(int(k.vm[0].io_head), int(k.vm[0].io_tail))]
    _feed(digest, "io", k.io[in_flight])
    return digest.hexdigest()


def touched_frames(k: Kernel, zone: int | None = None) -> list[tuple[int, int]]:
    """Ranges of frames [start, end) the simulation may have written to, ascending.

    All frames of the zones (or of one zone) but those still virgin and the node's boot-reserved `mem_map`, which
    no record describes one by one.
    """
    ranges = []
    for z in range(len(k.zones)) if zone is None else (zone,):
        record, node = k.zones[z], k.nodes[z // NR_ZONES]
        start, n_virgin = int(record["start_pfn"]), int(record["nr_virgin"])
        zone_end = start + int(record["size"])
        virgin = zip(record["virgin_start"][:n_virgin].tolist(), record["virgin_end"][:n_virgin].tolist(), strict=True)
        for hole_start, hole_end in sorted([*virgin, (int(node["mem_map_start"]), int(node["mem_map_end"]))]):
            if hole_end <= start or hole_start >= zone_end or hole_start >= hole_end:
                continue
            if hole_start > start:
                ranges.append((start, hole_start))
            start = hole_end
        if start < zone_end:
            ranges.append((start, zone_end))
    return sorted(ranges)


def _feed(digest: Any, name: str, array: Any) -> None:
    """Add an array: its name and shape, then its fields one by one (padding between fields is not state)."""
    array = array.view(np.ndarray)
    parts = [f"{name} {array.shape}\n".encode()]
    for field, little, heading, fed_as_zero in _fields(name, array.dtype):
        values = array if field is None else array[field]
        parts.append(heading)
        if fed_as_zero:
            parts.append(bytes(values.nbytes))
        else:
            parts.append((values if values.dtype == little else values.astype(little)).tobytes())
    digest.update(b"".join(parts))


@cache
def _fields(name: str, dtype: np.dtype[Any]) -> tuple[tuple[str | None, np.dtype[Any], bytes, bool], ...]:
    """Fields of an array that are fed (None: it has none), their little-endian types, headings, and which as zeros."""
    found = []
    for field in dtype.names or (None,):
        if field is not None and field in (*_OBSERVING.get(name, ()), *_OF_POLICIES.get(name, ())):
            continue
        little = (dtype if field is None else dtype[field]).base.newbyteorder("<")
        heading = f"{field or ''} {little.str}\n".encode()
        found.append((field, little, heading, field in _FED_AS_ZERO.get(name, ())))
    return tuple(found)


def _feed_policies(digest: Any, k: Kernel) -> None:
    """Add the memory policies, who has which, and where the next interleaved page comes from; nothing without any."""
    known = int(k.vm[0].nr_policies) + 1
    if known == 1:
        return
    _feed(digest, "policies", k.policies[:known])
    _feed(digest, "policy_cycle", k.policy_cycle[:known])
    arrays = {"vm": k.vm, "tasks": k.tasks, "vmas": k.vmas[: int(k.vm[0].vma_used)]}
    for name, fields in _OF_POLICIES.items():
        for field in fields:
            _feed(digest, f"{name}.{field}", arrays[name][field])


def _feed_buddy_map(digest: Any, k: Kernel) -> None:
    """Add the pair bits of the touched frames; all others are still 0."""
    for z in range(len(k.zones)):
        first, maps = int(k.zones[z]["start_pfn"]), k.zones[z]["map_start"].tolist()
        for start, end in touched_frames(k, z):
            for order in range(MAX_ORDER - 1):
                low = maps[order] + ((start - first) >> (order + 1))
                high = maps[order] + ((end - first - 1) >> (order + 1)) + 1
                _feed(digest, f"buddy_map {z} {order}", k.buddy_map[low:high])


def _feed_kernel_memory(digest: Any, k: Kernel) -> None:
    """Add slab caches, areas of vmalloc and slots of kmap, as far as they were ever used."""
    vm = k.vm[0]
    _feed(digest, "vm_structs", k.vm_structs[: int(vm.vm_structs_used)])
    _feed(digest, "pkmap", k.pkmap)
    if vm.cache_chain == NIL:
        return
    for name in ("kmem_caches", "cpucache", "dentries"):
        _feed(digest, name, getattr(k, name))
    for name in ("slabs", "slab_bufctl"):
        _feed(digest, name, getattr(k, name)[: int(vm.slab_used)])


def _feed_swap(digest: Any, k: Kernel) -> None:
    """Add the slots of every area that was ever used."""
    for area in range(len(k.swap_info)):
        info = k.swap_info[area]
        slots = int(info["max"])
        if slots == 0 or (int(info["inuse_pages"]) == 0 and int(info["pages_written"]) == 0):
            continue
        start = int(info["map_start"])
        for at in range(start, start + slots, _CHUNK):
            to = min(at + _CHUNK, start + slots)
            for name in ("swap_map", "swap_cache", "swap_tags", "swap_lockmap", "shmem_slots"):
                _feed(digest, f"{name} {area}", getattr(k, name)[at:to])
