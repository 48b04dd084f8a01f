"""The summary of a run: what happened on each node, swap area and CPU, and where each task's time went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from numa_sim.observe.fault_rows import fault_rows
from numa_sim.observe.hashes import event_hash, state_hash
from numa_sim.observe.latency import check_sums, pair_rows, run_ns, task_parts
from numa_sim.observe.lock_rows import lock_rows
from numa_sim.observe.reclaim_figures import reclaim_figures
from numa_sim.observe.result import RunResult, TaskRow
from numa_sim.observe.sampler import DISK_COLUMNS
from numa_sim.observe.watermarks import watermark_rows
from numa_sim.results.readable import readable_bytes, readable_count, readable_ns
from numa_sim.results.text_tables import fault_table, lock_table, percent, share, text_table
from numa_sim.state.constants import (
    KERNEL_2_4_0,
    NR_ZONES,
    PAGE_SIZE,
    SI_KERNEL,
    SIGKILL,
    SIGNALS,
    TASK_BDFLUSH,
    TASK_DEAD,
    TASK_KRECLAIMD,
    TASK_KUPDATE,
    TIME_PARTS,
    VMSTAT,
)
from numa_sim.state.kernel import Kernel

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["FORMAT_VERSION", "print_summary", "summarise"]

FORMAT_VERSION: Final = 1
_KSWAPD: Final = 1
EXITED: Final = "exited"
KILLED: Final = "killed (out of memory)"
RUNNING: Final = "running at the end"


def summarise(result: RunResult) -> dict[str, Any]:
    """Summary of a finished run, of JSON types: integers and strings; floats only where a name begins with ``mean_``.

    There, and nowhere else, null stands for a mean over nothing.

    Raises
    ------
    InvariantViolation
        If a task's time parts do not sum to its run time.

    Notes
    -----
    Times in ns, sizes in pages of 4096 bytes unless a name says bytes; counters have the kernel's names and count
    from boot.
    """
    k = result.kernel
    check_sums(k, [row.task for row in result.tasks], result.end_ns)
    tasks = [_task(k, row, result.end_ns) for row in result.tasks]
    nodes = [_node(k, node, result) for node in range(int(k.vm[0].nr_nodes))]
    return {
        "format_version": FORMAT_VERSION,
        "machine": _machine(k, result),
        "run": {
            "end_ns": result.end_ns,
            "event_count": int(k.vm[0].event_count),
            "event_hash": event_hash(k),
            "exit_state": result.exit_state,
            "seed": result.seed,
            "state_hash": state_hash(k),
        },
        "nodes": nodes,
        "watermarks": watermark_rows(k),
        "pairs": pair_rows(k),
        "swap_areas": _swap_areas(k, result),
        "disks": _disks(k, result),
        "tasks": tasks,
        "kswapd": {"parts_ns": task_parts(k, _KSWAPD)},
        "bdflush": {"parts_ns": task_parts(k, len(k.tasks) + TASK_BDFLUSH)},
        **(
            {"kreclaimd": {"parts_ns": task_parts(k, len(k.tasks) + TASK_KRECLAIMD)}}
            if k.vm[0].profile == KERNEL_2_4_0
            else {}
        ),
        "kupdate": {"parts_ns": task_parts(k, len(k.tasks) + TASK_KUPDATE)},
        "cpus": [_cpu(k, cpu) for cpu in range(int(k.vm[0].nr_cpus))],
        "locks": lock_rows(k),
        "faults": fault_rows(k, [(row.name, row.task) for row in result.tasks]),
        "totals": _totals(k, tasks, nodes, result.end_ns),
        "oom_kills": [
            {"task": task["name"], "pid": task["pid"], "t_ns": task["end_ns"]}
            for task in tasks
            if task["state"] == KILLED
        ],
        "warnings": list(result.warnings),
    }


def _machine(k: Kernel, result: RunResult) -> dict[str, Any]:
    vm = k.vm[0]
    frames = int(k.zones.realsize.sum())
    return {
        "name": result.machine_name,
        "nodes": int(vm.nr_nodes),
        "cpus": int(vm.nr_cpus),
        "frames": frames,
        "memory_bytes": frames * PAGE_SIZE,
        "swap_pages": int(vm.total_swap_pages),
    }


def _node(k: Kernel, node: int, result: RunResult) -> dict[str, Any]:
    zones = k.zones[node * NR_ZONES : (node + 1) * NR_ZONES]
    traffic = k.traffic
    counters = {name: int(value) for name, value in zip(VMSTAT, k.vmstat[node], strict=True)}
    return {
        "node": node,
        "name": result.node_names[node] if node < len(result.node_names) else f"node{node}",
        "frames": int(zones.realsize.sum()),
        "free_pages": int(zones.free_pages.sum()),
        "reserved_pages": int(k.nodes[node].reserved_pages),
        "active_pages": int(zones.nr_active_pages.max()),
        "inactive_pages": int(zones.nr_inactive_pages.max()),
        "cache_pages": int(zones.nr_cache_pages.max()),
        "accesses_local": int(traffic.accesses[node, node]),
        "accesses_remote": int(traffic.accesses[node].sum() - traffic.accesses[node, node]),
        "accesses_served": int(traffic.accesses[:, node].sum()),
        "lines_served": int(traffic.lines[:, node].sum()),
        "vmstat": counters,
        "reclaim": reclaim_figures(counters, result.end_ns),
        **(_lists_of_2_4_0(k, node) if k.vm[0].profile == KERNEL_2_4_0 else {}),
    }


def _lists_of_2_4_0(k: Kernel, node: int) -> dict[str, int]:
    """The two kinds of inactive pages of 2.4.0."""
    zones = k.zones[node * NR_ZONES : (node + 1) * NR_ZONES]
    return {name: int(zones[name].sum()) for name in ("inactive_dirty_pages", "inactive_clean_pages")}


def _swap_areas(k: Kernel, result: RunResult) -> list[dict[str, Any]]:
    rows = []
    for area in range(int(k.vm[0].nr_swapfiles)):
        info = k.swap_info[area]
        known = result.swap_areas[area] if area < len(result.swap_areas) else None
        rows.append(
            {
                "area": area,
                "name": known.name if known else f"swap{area}",
                "device": known.device if known else "",
                "priority": int(info.prio),
                "pages": int(info.pages),
                "used_pages": int(info.inuse_pages),
                "peak_used_pages": _peak(result, area),
                "pages_read": int(info.pages_read),
                "pages_written": int(info.pages_written),
            }
        )
    return rows


_DISK_COUNTERS: Final = tuple(column.name for column in DISK_COLUMNS[2:])


def _disks(k: Kernel, result: RunResult) -> list[dict[str, Any]]:
    """Per disk what it has done; the mean wait of a request and the mean number of requests over the whole run."""
    rows = []
    for number, disk in enumerate(result.disks):
        record = k.disks[number]
        requests = int(record.reads + record.writes)
        rows.append(
            {
                "disk": number,
                "name": disk.name,
                "device": disk.device,
                **{name: int(record[name]) for name in _DISK_COUNTERS},
                "plugs": int(record.plugs),
                "mean_await_ns": round(int(record.await_ns) / requests, 3) if requests else 0.0,
                "mean_in_flight": round(int(record.await_ns) / result.end_ns, 3) if result.end_ns else 0.0,
            }
        )
    return rows


def _peak(result: RunResult, area: int) -> int:
    """Most slots an area had in use at any sample."""
    series = result.timeseries.swap
    used = series.column("used_pages")[series.column("area") == area]
    return int(used.max(initial=0))


def _task(k: Kernel, row: TaskRow, end_ns: int) -> dict[str, Any]:
    task = k.tasks[row.task]
    dead = int(task.state) == TASK_DEAD
    return {
        "name": row.name,
        "program": row.kind,
        "task": row.task,
        "pid": int(task.pid),
        "state": _state(task) if dead else RUNNING,
        "start_ns": int(task.start_ns),
        "end_ns": int(task.end_ns) if dead else end_ns,
        "run_ns": run_ns(k, row.task, end_ns),
        "parts_ns": task_parts(k, row.task),
        "min_flt": int(task.min_flt),
        "maj_flt": int(task.maj_flt),
        "accesses": int(task.accesses_done),
    }


def _state(task: Any) -> str:
    """How a task that is gone ended, from what wait(2) would give of it."""
    signal = int(task.exit_code) & 0x7F
    if not signal:
        return EXITED
    if signal == SIGKILL and int(task.si_code) == SI_KERNEL:
        return KILLED
    return f"killed ({SIGNALS[signal]}{', core dumped' if int(task.exit_code) & 0x80 else ''})"


def _cpu(k: Kernel, cpu: int) -> dict[str, Any]:
    record = k.cpus[cpu]
    names = (
        "node", "busy_ns", "accesses", "context_switches", "tlb_hits", "tlb_misses", "tlb_flushes", "tlb_invlpg",
        "ipis_sent", "ipis_received", "lazy_leaves", "ipis_spared",
    )  # fmt: skip
    return {"cpu": cpu, **{name: int(getattr(record, name)) for name in names}}


def _totals(k: Kernel, tasks: list[dict[str, Any]], nodes: list[dict[str, Any]], end_ns: int) -> dict[str, Any]:
    counters = {name: sum(node["vmstat"][name] for node in nodes) for name in VMSTAT}
    accesses, latency, queue = (int(k.traffic[name].sum()) for name in ("accesses", "latency_ns", "queue_ns"))
    return {
        "accesses": sum(task["accesses"] for task in tasks),
        "memory_accesses": accesses,
        "mean_latency_ns": round((latency + queue) / accesses, 3) if accesses else 0.0,
        "mean_queue_ns": round(queue / accesses, 3) if accesses else 0.0,
        "parts_ns": {name: sum(task["parts_ns"][name] for task in tasks) for name in TIME_PARTS},
        "run_ns": sum(task["run_ns"] for task in tasks),
        "vmstat": counters,
        "reclaim": reclaim_figures(counters, end_ns),
    }


# Printing ------------------------------------------------------------------------------------------------------------


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """Print the summary as tables that fit in 100 columns.

    Parameters
    ----------
    summary : dict
        What `summarise` gave, or ``summary.json`` read back.
    console : rich.console.Console
        Where to.
    """
    from rich.text import Text

    machine, _, numbers = headline(summary).partition(": ")
    console.print(Text(machine, style="bold"))
    console.print(Text(numbers))
    for text in summary["warnings"]:
        console.print(Text(f"warning: {text}", style="yellow"))
    for kill in summary["oom_kills"]:
        text = f"out of memory: killed {kill['task']} (pid {kill['pid']}), gone after {readable_ns(kill['t_ns'])}"
        console.print(Text(text, style="red"))
    tables = [_nodes_table(summary), _time_table(summary)]
    own = {area["name"] for area in summary["swap_areas"]}
    disks = [disk for disk in summary["disks"] if disk["name"] not in own]
    if disks:
        tables.insert(1, _disk_table(disks, summary["run"]["end_ns"]))
    if summary["swap_areas"]:
        tables.insert(1, _swap_table(summary))
    if summary.get("faults"):
        tables.append(fault_table(summary))
    if summary["locks"]:
        tables.append(lock_table(summary))
    for table in tables:
        console.print()
        console.print(table)


def headline(summary: dict[str, Any]) -> str:
    """One line: machine, simulated time, how it ended, accesses, faults, swap traffic."""
    machine, run, totals = summary["machine"], summary["run"], summary["totals"]
    ended = {"ok": "finished", "oom": "ran out of memory", "until": "stopped at the time limit"}[run["exit_state"]]
    counters = totals["vmstat"]
    return (
        f"{machine['name'] or 'machine'} ({_plural(machine['nodes'], 'node')}, {_plural(machine['cpus'], 'CPU')}, "
        f"{readable_bytes(machine['memory_bytes'])}) {ended} after {readable_ns(run['end_ns'])}: "
        f"{readable_count(totals['accesses'])} accesses, {readable_count(counters['pgmajfault'])} major faults, "
        f"swapped in {readable_bytes(counters['pswpin'] * PAGE_SIZE)}, "
        f"out {readable_bytes(counters['pswpout'] * PAGE_SIZE)}"
    )


def _plural(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


_NODE_LINES: Final = (
    ("numa_hit", "numa_miss", "numa_foreign", "local_node", "other_node"),
    ("pgfault", "pgmajfault", "pswpin", "pswpout"),
    ("pgscan_kswapd", "pgsteal_kswapd", "pgscan_direct", "pgsteal_direct", "allocstall"),
)
_LINES_OF_2_4_0: Final = (
    ("pgage_up", "pgage_down", "pglaunder_write", "pglaunder_clean"),
    ("reclaim_page", "reclaim_page_direct", "kreclaimd_wakeup", "kswapd_wait"),
)
"""Shown of the kernel that ages pages and launders them."""
_FILE_LINES: Final = ("pagecache_hit", "pagecache_miss", "pgpgin", "pgpgout", "nr_file_pages", "nr_dirty")
"""Shown when files were used."""


_RECLAIM_LINES: Final = (
    ("mean_velocity_pages_per_s", "scanned / s", ""),
    ("mean_efficiency_percent", "scan efficiency", " %"),
    ("mean_kswapd_efficiency_percent", "kswapd efficiency", " %"),
    ("mean_direct_percent", "direct scans", " %"),
)


def _nodes_table(summary: dict[str, Any]) -> Any:
    """Counters down, nodes across while they fit; else the nodes with the most pages allocated."""
    nodes = summary["nodes"]
    shown = nodes if len(nodes) <= 6 else sorted(nodes, key=lambda n: (-n["vmstat"]["pgalloc"], n["node"]))[:6]
    title = "Nodes (pages)" if len(shown) == len(nodes) else f"Nodes (pages): the 6 busiest of {len(nodes)}"
    table = text_table(title, "", *[node["name"] for node in shown], "all nodes")

    def add(name: str, values: list[int], last: bool = False) -> None:
        cells = [readable_count(value) for value in values]
        table.add_row(name, *cells, end_section=last)

    for key, name in (("frames", "present"), ("free_pages", "free at the end")):
        add(name, [node[key] for node in [*shown, {key: sum(n[key] for n in nodes)}]], last=key == "free_pages")
    with_files = any(summary["totals"]["vmstat"][counter] for counter in ("pagecache_miss", "file_faults"))
    groups = list(_NODE_LINES)
    if "inactive_dirty_pages" in nodes[0]:
        groups += _LINES_OF_2_4_0
        for key in ("inactive_dirty_pages", "inactive_clean_pages"):
            values = [node[key] for node in [*shown, {key: sum(n[key] for n in nodes)}]]
            add(key.replace("_pages", ""), values, last=key == "inactive_clean_pages")
    if with_files:
        groups.append(_FILE_LINES)
    for group in groups:
        for counter in group:
            values = [node["vmstat"][counter] for node in [*shown, summary["totals"]]]
            add(counter, values, last=counter == group[-1])
    if summary["totals"]["reclaim"]["mean_velocity_pages_per_s"]:
        for key, name, unit in _RECLAIM_LINES:
            figures = [each["reclaim"][key] for each in [*shown, summary["totals"]]]
            cells = ["-" if figure is None else f"{readable_count(figure)}{unit}" for figure in figures]
            table.add_row(name, *cells, end_section=key == _RECLAIM_LINES[-1][0])
    local, remote = (sum(node[f"accesses_{way}"] for node in nodes) for way in ("local", "remote"))
    add("memory accesses, local", [*[n["accesses_local"] for n in shown], local])
    add("memory accesses, remote", [*[n["accesses_remote"] for n in shown], remote])
    return table


_AREA_SIZES: Final = ("pages", "peak_used_pages", "used_pages", "pages_read", "pages_written")


def _swap_table(summary: dict[str, Any]) -> Any:
    from rich.text import Text

    table = text_table(
        "Swap areas", "area", "device", "priority", "size", "peak use", "at the end", "read", "written", left=2
    )
    for area in summary["swap_areas"]:
        sizes = [area[key] * PAGE_SIZE for key in _AREA_SIZES]
        table.add_row(Text(area["name"]), Text(area["device"]), str(area["priority"]), *map(readable_bytes, sizes))
    return table


_SECTOR_BYTES: Final = 512


def _disk_table(disks: list[dict[str, Any]], end_ns: int) -> Any:
    """What shared disks have done; a drive that is one swap area has its line among those."""
    from rich.text import Text

    names = ("read", "written", "requests", "merges", "seeks", "mean wait", "in flight", "busy")
    table = text_table("Disks", "disk", "device", *names, left=2)
    for disk in disks:
        table.add_row(
            Text(disk["name"]),
            Text(disk["device"]),
            *(readable_bytes(disk[f"sectors_{way}"] * _SECTOR_BYTES) for way in ("read", "written")),
            *(
                readable_count(n)
                for n in (disk["reads"] + disk["writes"], disk["read_merges"] + disk["write_merges"], disk["seeks"])
            ),
            readable_ns(round(disk["mean_await_ns"])),
            f"{disk['mean_in_flight']:.1f}",
            percent(disk["busy_ns"], end_ns),
        )
    return table


_STATES: Final = {EXITED: "exited", RUNNING: "running"}
"""How a short column says it; any other state is "killed"."""
_WIDE_TASKS: Final = 3
"""Tasks shown with shares and times; more are shown with shares alone."""
_MOST_TASKS: Final = 6


def _time_table(summary: dict[str, Any]) -> Any:
    """Parts down, tasks across; parts nobody spent time on are left out.  The longest tasks if there are many."""
    tasks, totals = summary["tasks"], summary["totals"]
    shown = sorted(tasks, key=lambda t: (-t["run_ns"], t["task"]))[:_MOST_TASKS]
    shown.sort(key=lambda task: task["task"])
    title = "Where the time went"
    if len(shown) < len(tasks):
        title += f": the {len(shown)} longest of {len(tasks)} tasks"
    wide = len(shown) <= _WIDE_TASKS
    rest = [totals] if len(tasks) > 1 else []
    table = text_table(title, "", *[task["name"] for task in shown], *["all tasks"][: len(rest)])
    states = [task["state"] if wide else _STATES.get(task["state"], "killed") for task in shown]
    table.add_row("state", *states, *[""] * len(rest), end_section=True)
    parts = [name for name in TIME_PARTS if totals["parts_ns"][name]]
    for name in parts:
        cells = [(share if wide else percent)(task["parts_ns"][name], task["run_ns"]) for task in shown]
        cells += [share(each["parts_ns"][name], each["run_ns"]) for each in rest]
        table.add_row(name.replace("_", " "), *cells, end_section=name == parts[-1])
    times = [readable_ns(column["run_ns"]) for column in [*shown, *rest]]
    table.add_row("run time = sum", *times)
    return table
