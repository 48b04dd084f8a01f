"""The files of ``/proc`` and of ``/sys`` that tools of today read, of a simulated machine.

The kernels modelled are older than those tools.  Where a tool cannot read what they say (``meminfo`` with its table on
top, ``slabinfo`` 1.1), or they have no such file at all, it is given in the layout of 6.1, from the same counters.
What is not counted is left out, not made up: a tool takes a missing line for unknown.

===============================  ===================================================================================
file                             layout; which of 2.2 and 2.4 has it
===============================  ===================================================================================
proc/meminfo                     6.1, without the lines that are not counted (MemAvailable, Shmem, Mapped, ...); all
proc/swaps                       2.4, which is that of 6.1; all
proc/slabinfo                    2.1 (2.6 and later); 2.4 has version 1.1
proc/stat                        6.1, without the lines of CPUs and interrupts; all
proc/vmstat, zoneinfo, buddyinfo 6.1 or 2.6; none
proc/PID/stat, statm, status     6.1 (statm and status without what is not counted); all
proc/PID/maps                    6.1; all
proc/PID/smaps, numa_maps        6.1; none
sys/devices/system/node/nodeN/   meminfo, numastat, vmstat, cpulist, distance as 6.1; none
===============================  ===================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from numa_sim.kernel.slab.cache import cache_name, chain
from numa_sim.observe import proc_pid, procfs
from numa_sim.state.constants import NIL, PAGE_SIZE, TASK_DEAD, TASK_RUNNING, TASK_ZOMBIE
from numa_sim.state.counters import (
    NR_DIRTY,
    NR_WRITEBACK,
    PART_COMPUTE,
    PART_LOCAL,
    PART_QUEUEING,
    PART_REMOTE,
    PART_TLB_WALK,
    TABLE_PAGES,
    TABLE_PAGES_FREED,
    TIME_PARTS,
)
from numa_sim.state.kernel import Kernel
from numa_sim.topology import Topology
from numa_sim.topology.cpulist import format_list

__all__ = ["machine_files", "meminfo", "process_files", "process_stat", "slabinfo", "stat"]

_TICK_NS: Final = 10_000_000
"""USER_HZ is 100."""
_USER_PARTS: Final = (PART_COMPUTE, PART_LOCAL, PART_REMOTE, PART_QUEUEING, PART_TLB_WALK)
_WAITING: Final = ("swap_wait", "run_queue", "sleep", "file_wait", "lock_wait", "kswapd_wait", "daemon")
_SYSTEM_PARTS: Final = tuple(
    part for part, name in enumerate(TIME_PARTS) if part not in _USER_PARTS and name not in _WAITING
)
_OF_MEMORY: Final = (
    "total_vm", "rss", "start_code", "end_code", "start_stack", "start_data", "end_data", "start_brk",
)  # fmt: skip
_UNLIMITED: Final = 2**64 - 1
_SIGCHLD: Final = 17


def meminfo(k: Kernel) -> str:
    """``/proc/meminfo`` in the layout of 6.1, kB; `numa_sim.observe.procfs.meminfo` is that of 2.4.

    Of 2.4.0, Inactive is its dirty and clean inactive pages together; 2.2 has neither Active nor Inactive.
    """
    rows = procfs.memory_rows(k)
    shown: dict[str, int] = {
        name: rows[name] for name in ("MemTotal", "MemFree", "Buffers", "Cached", "SwapCached") if name in rows
    }
    if "Active" in rows:
        inactive = rows.get("Inactive", rows.get("Inact_dirty", 0) + rows.get("Inact_clean", 0))
        shown |= {"Active": rows["Active"], "Inactive": inactive}
    if rows.get("HighTotal"):
        shown |= {name: rows[name] for name in ("HighTotal", "HighFree", "LowTotal", "LowFree")}
    counters = k.vmstat.sum(axis=0)
    shown |= {
        "SwapTotal": rows["SwapTotal"],
        "SwapFree": rows["SwapFree"],
        "Dirty": int(counters[NR_DIRTY]),
        "Writeback": int(counters[NR_WRITEBACK]),
        "Slab": sum(_slabs(k, cache)[1] << int(k.kmem_caches[cache].gfporder) for cache in chain(k)),
        "PageTables": int(counters[TABLE_PAGES] - counters[TABLE_PAGES_FREED]),
    }
    return "".join(f"{name + ':':<16}{pages * PAGE_SIZE >> 10:8d} kB\n" for name, pages in shown.items())


def _slabs(k: Kernel, cache: int) -> tuple[int, int]:
    """Slabs of a cache that are in use, and all."""
    full, partial, free = (int(n) for n in k.kmem_caches[cache].list_length)
    return full + partial, full + partial + free


def slabinfo(k: Kernel) -> str:
    """``/proc/slabinfo`` version 2.1; `numa_sim.observe.procfs.slabinfo` is that of 2.4."""
    lines = [
        "slabinfo - version: 2.1",
        "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> "
        "<batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>",
    ]
    for number in chain(k):
        cache, (used, slabs) = k.kmem_caches[number], _slabs(k, number)
        lines.append(
            f"{cache_name(k, number):<17} {cache.active:6d} {slabs * cache.num:6d} {cache.objsize:6d} "
            f"{cache.num:4d} {1 << int(cache.gfporder):4d} : tunables {cache.limit:4d} {cache.batchcount:4d} {0:4d} : "
            f"slabdata {used:6d} {slabs:6d} {0:6d}"
        )
    return "\n".join(lines) + "\n"


def stat(k: Kernel, processes: int) -> str:
    """``/proc/stat``, without CPUs and interrupts: context switches, boot at the epoch, processes made, running."""
    running = int((k.cpus["task"] != NIL).sum())
    return (
        f"ctxt {int(k.cpus['context_switches'].sum())}\nbtime 0\nprocesses {processes}\n"
        f"procs_running {running}\nprocs_blocked 0\n"
    )


def process_stat(k: Kernel, process: proc_pid.Process) -> str:
    """``/proc/PID/stat``, all 52 fields (do_task_stat); what is not modelled is 0.

    Times in ticks of 10 ms: user time is computing and memory accesses, system time faults, system calls and reclaim.
    """
    task, spent = k.tasks[process.task], k.time_parts[process.task]
    state = "R" if task.state == TASK_RUNNING else "X" if task.state == TASK_DEAD else "S"
    state = "Z" if task.state == TASK_ZOMBIE else state
    user, system = (int(sum(spent[part] for part in parts)) // _TICK_NS for parts in (_USER_PARTS, _SYSTEM_PARTS))
    parent = int(k.tasks[task.parent].pid) if task.parent > 0 else 0
    has_memory = task.mm != NIL
    mm = {name: int(k.mms[task.mm][name]) if has_memory else 0 for name in _OF_MEMORY}
    alive = (k.tasks["mm"] == task.mm) & (k.tasks["state"] != TASK_DEAD) & (k.tasks["pid"] != 0)
    threads = int(alive.sum()) if has_memory else 1
    fields = [
        int(task.pid), f"({process.name[:15]})", state, parent, int(task.pid), 0, 0, -1, 0,
        int(task.min_flt), 0, int(task.maj_flt), 0, user, system, 0, 0,
        20 + int(task.nice), int(task.nice), threads, 0, int(task.start_ns) // _TICK_NS,
        mm["total_vm"] * PAGE_SIZE, mm["rss"], _UNLIMITED, mm["start_code"], mm["end_code"], mm["start_stack"],
        *[0] * 9, _SIGCHLD, max(int(task.cpu), 0), *[0] * 5, mm["start_data"], mm["end_data"], mm["start_brk"],
        *[0] * 4, int(task.exit_code),
    ]  # fmt: skip
    return " ".join(map(str, fields)) + "\n"


def process_files(k: Kernel, process: proc_pid.Process) -> dict[str, str]:
    """The files of ``/proc/PID``, by name."""
    return {"stat": process_stat(k, process), **{name: text(k, process) for name, text in proc_pid.FILES.items()}}


def machine_files(
    k: Kernel, topology: Topology, processes: Iterable[proc_pid.Process], made: int, swap_names: Sequence[str] = ()
) -> dict[str, str]:
    """Every file, by its path without the leading slash.

    Parameters
    ----------
    topology : Topology
        For distances.
    processes : iterable of Process
        Those to show: all that have not ended.
    made : int
        How many there have been since the boot.
    swap_names : sequence of str
        Names of the swap areas by their index.
    """
    files = {"proc/meminfo": meminfo(k), "proc/slabinfo": slabinfo(k), "proc/stat": stat(k, made)}
    files |= {"proc/swaps": procfs.swaps(k, [f"/dev/{name}" for name in swap_names])}
    files |= {f"proc/{name}": procfs.text(k, name) for name in ("vmstat", "buddyinfo")}
    files["proc/zoneinfo"] = procfs.zoneinfo(k, counters=True)
    for process in processes:
        folder = f"proc/{int(k.tasks[process.task].pid)}"
        files |= {f"{folder}/{name}": text for name, text in process_files(k, process).items()}
    nodes = range(int(k.vm[0].nr_nodes))
    files["sys/devices/system/node/online"] = files["sys/devices/system/node/possible"] = format_list(nodes) + "\n"
    for node in nodes:
        folder = f"sys/devices/system/node/node{node}"
        files |= {f"{folder}/{name}": procfs.text(k, f"node{node}/{name}") for name in procfs.NODE_FILES}
        cpus = [cpu for cpu in range(len(k.cpus)) if k.cpus[cpu].node == node]
        files[f"{folder}/cpulist"] = format_list(cpus) + "\n"
        files[f"{folder}/distance"] = " ".join(map(str, topology.distance[node])) + "\n"
    return files
