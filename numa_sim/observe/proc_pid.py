"""What a process sees of itself: the texts of ``/proc/PID`` in the layout of 6.1 (fs/proc/task_mmu.c, array.c).

2.4 has ``maps``, ``statm`` and ``status`` only; they too are shown in the later layout, so that tools read them.  Files
are of one disk's device number each (major 8), their inode is the number of their mapping.

Simplified: no transparent huge pages, no shared memory objects, no soft-dirty bits; those lines are 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from numa_sim.kernel.mempolicy import mpol_to_str
from numa_sim.observe.user_pages import MappedPages, areas, mapped_pages, node_of_frames, swap_uses
from numa_sim.state.constants import (
    BUFFERS_BUSY,
    KIND_INODE,
    MAPPING_NONE,
    MAPPING_SWAP,
    NIL,
    PAGE_SHIFT,
    PAGE_SIZE,
    PTE_ACCESSED,
    PTE_DIRTY,
    TASK_DEAD,
    TASK_RUNNING,
    VM_EXEC,
    VM_LOCKED,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
    PG_active,
    PG_dirty,
    PG_referenced,
)
from numa_sim.state.kernel import Kernel

__all__ = ["FILES", "Process", "area_name", "maps", "numa_maps", "smaps", "statm", "status"]

_NAME_COLUMN: Final = 73
"""Where the name of an area begins: 25 + 6 bytes per pointer - 1, and a space (show_map_vma)."""
_SCSI_MAJOR: Final = 8
_DISK_MINORS: Final = 16
_PSS_SHIFT: Final = 12
_VM_GROWSDOWN: Final = 0x100
_FLAG_NAMES: Final = (
    (0x1, "rd"), (0x2, "wr"), (0x4, "ex"), (0x8, "sh"), (0x10, "mr"), (0x20, "mw"), (0x40, "me"), (0x80, "ms"),
    (0x100, "gd"), (0x2000, "lo"), (0x4000, "io"), (0x8000, "sr"), (0x10000, "rr"), (0x20000, "dc"), (0x40000, "de"),
)  # fmt: skip
"""VM_* bits and their two letters in VmFlags (show_smap_vma_flags)."""


@dataclass(frozen=True)
class Process:
    """A task to be shown, with what the kernel's state does not know.

    Parameters
    ----------
    task : int
        Row in ``kernel.tasks``.
    name : str
        What it is called (``comm``).
    files : mapping of int to str
        Names of files by their mapping.
    """

    task: int
    name: str
    files: Mapping[int, str] = field(default_factory=dict)


def _kib(pages: int) -> int:
    return pages * PAGE_SIZE >> 10


def _areas_of(k: Kernel, process: Process) -> list[int]:
    """The task's areas; none if it has no address space (before its start, after its end)."""
    mm = int(k.tasks[process.task].mm)
    return areas(k, mm) if mm != NIL else []


def _mm_field(k: Kernel, mm: int, name: str) -> int:
    """A field of mm_struct that only programs with a text segment or a heap fill in; 0 = not."""
    return int(k.mms[mm][name]) if name in (k.mms.dtype.names or ()) else 0


def _label(k: Kernel, vma: int) -> str:
    """heap, stack, or nothing: what lies in an anonymous area."""
    area = k.vmas[vma]
    mm = int(area.vm_mm)
    if area.vm_file:
        return ""
    start_brk, brk = _mm_field(k, mm, "start_brk"), _mm_field(k, mm, "brk")
    if start_brk < brk and area.vm_start << PAGE_SHIFT < brk and area.vm_end << PAGE_SHIFT > start_brk:
        return "heap"
    if int(area.vm_flags) & _VM_GROWSDOWN or area.vm_end == k.vm[0].task_size_vpn:
        return "stack"
    return ""


def _file_name(k: Kernel, process: Process, vma: int) -> str:
    """Path of the file an area maps; empty for anonymous memory."""
    if not k.vmas[vma].vm_file:
        return ""
    mapping = int(k.files[k.vmas[vma].vm_file].f_mapping)
    return "/" + process.files.get(mapping, f"inode-{mapping}").lstrip("/")


def area_name(k: Kernel, process: Process, vma: int) -> str:
    """What the last column of maps calls an area: a path, ``[heap]``, ``[stack]``, or nothing."""
    label = _label(k, vma)
    return _file_name(k, process, vma) or (f"[{label}]" if label else "")


def _map_line(k: Kernel, process: Process, vma: int) -> str:
    """One line of maps (show_map_vma)."""
    area = k.vmas[vma]
    flags = int(area.vm_flags)
    letters = "".join(
        letter if flags & bit else "-" for letter, bit in (("r", VM_READ), ("w", VM_WRITE), ("x", VM_EXEC))
    )
    letters += "s" if flags & VM_SHARED else "p"
    major = minor = inode = offset = 0
    if area.vm_file:
        inode = int(k.files[area.vm_file].f_mapping)
        major, minor = _SCSI_MAJOR, int(k.mappings[inode].device) * _DISK_MINORS
        offset = int(area.vm_pgoff) << PAGE_SHIFT
    start, end = int(area.vm_start) << PAGE_SHIFT, int(area.vm_end) << PAGE_SHIFT
    line = f"{start:08x}-{end:08x} {letters} {offset:08x} {major:02x}:{minor:02x} {inode} "
    name = area_name(k, process, vma)
    return f"{line:<{_NAME_COLUMN}}{name}" if name else line


def maps(k: Kernel, process: Process) -> str:
    """``/proc/PID/maps``: addresses, permissions, offset, device, inode and name of each area."""
    return "".join(_map_line(k, process, vma) + "\n" for vma in _areas_of(k, process))


def _dirty(k: Kernel, pages: MappedPages) -> Any:
    return (pages.ptes & PTE_DIRTY != 0) | (k.pages["flags"][pages.pfns] & PG_dirty != 0)


def _is_file(k: Kernel, pages: MappedPages) -> Any:
    """Which pages belong to a file; all others are anonymous."""
    mapping = k.pages["mapping"][pages.pfns]
    return (mapping != MAPPING_NONE) & (k.mappings["kind"][mapping] == KIND_INODE)


def _smap_rows(k: Kernel, vma: int) -> dict[str, int]:
    """The lines of one area in smaps, bytes."""
    area, pages = k.vmas[vma], mapped_pages(k, vma)
    dirty, shared = _dirty(k, pages), pages.mapcounts > 1
    used = (pages.ptes & PTE_ACCESSED != 0) | (k.pages["flags"][pages.pfns] & PG_referenced != 0)
    parts = (PAGE_SIZE << _PSS_SHIFT) // np.maximum(pages.mapcounts, 1)
    pss, pss_dirty = (int(parts[which].sum()) >> _PSS_SHIFT for which in (slice(None), dirty))
    swap_pss = int(((PAGE_SIZE << _PSS_SHIFT) // np.maximum(swap_uses(k, pages.swap_entries), 1)).sum()) >> _PSS_SHIFT

    def size(which: Any) -> int:
        return int(np.count_nonzero(which)) * PAGE_SIZE

    return {
        "Size": int(area.vm_end - area.vm_start) * PAGE_SIZE,
        "KernelPageSize": PAGE_SIZE,
        "MMUPageSize": PAGE_SIZE,
        "Rss": len(pages.pfns) * PAGE_SIZE,
        "Pss": pss,
        "Pss_Dirty": pss_dirty,
        "Shared_Clean": size(shared & ~dirty),
        "Shared_Dirty": size(shared & dirty),
        "Private_Clean": size(~shared & ~dirty),
        "Private_Dirty": size(~shared & dirty),
        "Referenced": size(used),
        "Anonymous": size(~_is_file(k, pages)),
        "LazyFree": 0,
        "AnonHugePages": 0,
        "ShmemPmdMapped": 0,
        "FilePmdMapped": 0,
        "Shared_Hugetlb": 0,
        "Private_Hugetlb": 0,
        "Swap": len(pages.swap_entries) * PAGE_SIZE,
        "SwapPss": swap_pss,
        "Locked": pss if int(area.vm_flags) & VM_LOCKED else 0,
    }


def smaps(k: Kernel, process: Process) -> str:
    """``/proc/PID/smaps``: below each line of maps how much of the area is in memory, shared, dirty, used, in swap."""
    lines = []
    for vma in _areas_of(k, process):
        lines.append(_map_line(k, process, vma))
        lines += [f"{name + ':':<16}{value >> 10:8d} kB" for name, value in _smap_rows(k, vma).items()]
        lines.append("THPeligible:    0")
        flags = int(k.vmas[vma].vm_flags)
        lines.append("VmFlags: " + "".join(f"{letters} " for bit, letters in _FLAG_NAMES if flags & bit))
    return "".join(line + "\n" for line in lines)


def _numa_counts(k: Kernel, pages: MappedPages) -> list[str]:
    """anon=, dirty=, ... of an area that has pages (show_numa_map)."""
    n = len(pages.pfns)
    flags, mapping = k.pages["flags"][pages.pfns], k.pages["mapping"][pages.pfns]
    anon, dirty = n - int(_is_file(k, pages).sum()), int(_dirty(k, pages).sum())
    swapcache, active = int((mapping == MAPPING_SWAP).sum()), int((flags & PG_active != 0).sum())
    # The kernel's PG_writeback; 2.4 has no such flag, but buffers under I/O.
    writeback = int((k.pages["buffers"][pages.pfns] >= BUFFERS_BUSY).sum())
    mapmax = int(pages.mapcounts.max())
    shown = {
        "anon": anon,
        "dirty": dirty,
        "mapped": n if n not in (anon, dirty) else 0,
        "mapmax": mapmax if mapmax > 1 else 0,
        "swapcache": swapcache,
    }
    words = [f"{name}={value}" for name, value in shown.items() if value]
    if active < n:
        words.append(f"active={active}")
    if writeback:
        words.append(f"writeback={writeback}")
    of_node = np.bincount(node_of_frames(k, pages.pfns), minlength=len(k.nodes)).tolist()
    return words + [f"N{node}={here}" for node, here in enumerate(of_node) if here] + [f"kernelpagesize_kB={_kib(1)}"]


def numa_maps(k: Kernel, process: Process) -> str:
    """``/proc/PID/numa_maps``: the policy of each area, on which nodes its pages are, and of what kind they are."""
    lines = []
    for vma in _areas_of(k, process):
        policy = int(k.vmas[vma].vm_policy) or int(k.tasks[process.task].mempolicy)
        words = [f"{int(k.vmas[vma].vm_start) << PAGE_SHIFT:08x}", mpol_to_str(k, policy)]
        file, label = _file_name(k, process, vma), _label(k, vma)
        words += [f"file={file}"] if file else [label] if label else []
        pages = mapped_pages(k, vma)
        if len(pages.pfns):
            words += _numa_counts(k, pages)
        lines.append(" ".join(words) + "\n")
    return "".join(lines)


def _sizes(k: Kernel, process: Process) -> dict[str, int]:
    """Sizes of an address space, pages (task_mem)."""
    mm, sizes = int(k.tasks[process.task].mm), dict.fromkeys(("locked", "data", "stack", "exec", "file", "swap"), 0)
    for vma in _areas_of(k, process):
        area = k.vmas[vma]
        n, flags, stack = int(area.vm_end - area.vm_start), int(area.vm_flags), _label(k, vma) == "stack"
        pages = mapped_pages(k, vma)
        sizes["locked"] += n if flags & VM_LOCKED else 0
        sizes["stack"] += n if stack else 0
        sizes["data"] += n if flags & (VM_WRITE | VM_SHARED) == VM_WRITE and not stack else 0
        sizes["exec"] += n if flags & (VM_EXEC | VM_WRITE) == VM_EXEC and not stack else 0
        sizes["file"] += int(_is_file(k, pages).sum())
        sizes["swap"] += len(pages.swap_entries)
    start, end = _mm_field(k, mm, "start_code") >> PAGE_SHIFT, -(-_mm_field(k, mm, "end_code") // PAGE_SIZE)
    text = min(end - start, sizes["exec"]) if end > start else 0
    rss = int(k.mms[mm].rss)
    return {
        **sizes,
        "total": int(k.mms[mm].total_vm),
        "peak": int(max(k.mms[mm].hiwater_vm, k.mms[mm].total_vm)),
        "high": int(max(k.mms[mm].hiwater_rss, rss)),
        "rss": rss,
        "anon": rss - sizes["file"],
        "text": text,
        "lib": sizes["exec"] - text,
        "tables": int(k.mms[mm].nr_tables),
    }


def _state(task: Any) -> str:
    if task.state == TASK_DEAD:
        return "X (dead)"
    return "R (running)" if task.state == TASK_RUNNING else "S (sleeping)"


def status(k: Kernel, process: Process) -> str:
    """``/proc/PID/status``, as far as modelled: state, identity, sizes in kB, threads.

    A task without an address space has no Vm lines, as in the kernel.
    """
    task = k.tasks[process.task]
    user = 0 if task.root else 1000
    rows: dict[str, Any] = {"Name": process.name, "State": _state(task), "Tgid": int(task.pid), "Pid": int(task.pid)}
    rows |= {"Uid": "\t".join([str(user)] * 4)}
    if task.mm != NIL:
        sizes = _sizes(k, process)
        for name, key in (
            ("VmPeak", "peak"), ("VmSize", "total"), ("VmLck", "locked"), ("VmHWM", "high"), ("VmRSS", "rss"),
            ("RssAnon", "anon"), ("RssFile", "file"), ("VmData", "data"), ("VmStk", "stack"), ("VmExe", "text"),
            ("VmLib", "lib"), ("VmPTE", "tables"), ("VmSwap", "swap"),
        ):  # fmt: skip
            rows[name] = f"{_kib(sizes[key]):8d} kB"
    alive = (k.tasks["mm"] == task.mm) & (k.tasks["state"] != TASK_DEAD) & (k.tasks["pid"] != 0)
    rows["Threads"] = int(alive.sum()) if task.mm != NIL else 1
    rows |= {"voluntary_ctxt_switches": int(task.nvcsw), "nonvoluntary_ctxt_switches": int(task.nivcsw)}
    return "".join(f"{name}:\t{value}\n" for name, value in rows.items())


def statm(k: Kernel, process: Process) -> str:
    """``/proc/PID/statm``: size, resident, shared, text, lib, data and dirty, pages (lib and dirty are 0 since 2.6)."""
    if k.tasks[process.task].mm == NIL:
        return "0 0 0 0 0 0 0\n"
    sizes = _sizes(k, process)
    data = sizes["data"] + sizes["stack"]
    return f"{sizes['total']} {sizes['rss']} {sizes['file']} {sizes['text']} 0 {data} 0\n"


FILES: Final[dict[str, Callable[[Kernel, Process], str]]] = {
    "maps": maps,
    "smaps": smaps,
    "numa_maps": numa_maps,
    "status": status,
    "statm": statm,
}
"""Texts about one process, by name."""
