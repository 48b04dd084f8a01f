"""The summary of a run as people read it: a headline, warnings, and tables that fit in 100 columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from numa_sim.results.readable import plural, readable_bytes, readable_count, readable_ns
from numa_sim.results.summary import EXITED, RUNNING, faults_that_read
from numa_sim.results.text_tables import TextTable, percent, share, text_table
from numa_sim.state.constants import PAGE_SIZE
from numa_sim.state.counters import TIME_PARTS

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["headline", "print_summary", "summary_tables"]


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
    for table in summary_tables(summary):
        console.print()
        console.print(table)


def summary_tables(summary: dict[str, Any]) -> list[TextTable]:
    """Tables of the summary: nodes, swap areas, disks, where the time went, faults, locks; those that are not empty."""
    tables = [_nodes_table(summary), _time_table(summary)]
    own = {area["name"] for area in summary["swap_areas"]}
    disks = [disk for disk in summary["disks"] if disk["name"] not in own]
    if disks:
        tables.insert(1, _disk_table(disks, summary["run"]["end_ns"]))
    if summary["swap_areas"]:
        tables.insert(1, _swap_table(summary))
    if summary.get("faults"):
        tables.append(_fault_table(summary))
    if summary["locks"]:
        tables.append(_lock_table(summary))
    return tables


def headline(summary: dict[str, Any]) -> str:
    """One line: machine, simulated time, how it ended, accesses, faults, swap traffic."""
    machine, run, totals = summary["machine"], summary["run"], summary["totals"]
    ended = {"ok": "finished", "oom": "ran out of memory", "until": "stopped at the time limit"}[run["exit_state"]]
    counters = totals["vmstat"]
    major, read = counters["pgmajfault"], faults_that_read(counters)
    also = f" ({readable_count(read)} had to read)" if read > major else ""
    return (
        f"{machine['name'] or 'machine'} ({plural(machine['nodes'], 'node')}, {plural(machine['cpus'], 'CPU')}, "
        f"{readable_bytes(machine['memory_bytes'])}) {ended} after {readable_ns(run['end_ns'])}: "
        f"{readable_count(totals['accesses'])} accesses, {readable_count(major)} major faults{also}, "
        f"swapped in {readable_bytes(counters['pswpin'] * PAGE_SIZE)}, "
        f"out {readable_bytes(counters['pswpout'] * PAGE_SIZE)}"
    )


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


def _nodes_table(summary: dict[str, Any]) -> TextTable:
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


def _swap_table(summary: dict[str, Any]) -> TextTable:
    table = text_table(
        "Swap areas", "area", "device", "priority", "size", "peak use", "at the end", "read", "written", left=2
    )
    for area in summary["swap_areas"]:
        sizes = [area[key] * PAGE_SIZE for key in _AREA_SIZES]
        table.add_row(area["name"], area["device"], str(area["priority"]), *map(readable_bytes, sizes))
    return table


_SECTOR_BYTES: Final = 512


def _disk_table(disks: list[dict[str, Any]], end_ns: int) -> TextTable:
    """What shared disks have done; a drive that is one swap area has its line among those."""
    names = ("read", "written", "requests", "merges", "seeks", "mean wait", "in flight", "busy")
    table = text_table("Disks", "disk", "device", *names, left=2)
    for disk in disks:
        table.add_row(
            disk["name"],
            disk["device"],
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


def _time_table(summary: dict[str, Any]) -> TextTable:
    """Parts down, tasks across; parts nobody spent time on are left out.  The longest tasks if there are many."""
    tasks, totals = summary["tasks"], summary["totals"]
    shown = sorted(tasks, key=lambda t: (-t["run_ns"], t["task"]))[:_MOST_TASKS]
    shown.sort(key=lambda task: task["task"])
    title = "Where the time went"
    if len(shown) < len(tasks):
        title += f": the {len(shown)} longest of {len(tasks)} tasks"
    wide = len(shown) <= _WIDE_TASKS
    rest = [totals] if len(tasks) > 1 else []
    names = [task["name"] if wide else task["name"].replace("/", "/\n") for task in shown]
    table = text_table(title, "", *names, *["all tasks"][: len(rest)])
    table.whole = {0, *range(1 + len(shown), len(table.columns))}  # only a task's name may go over several lines
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


_MOST_FAULTS: Final = 12


def _fault_table(summary: dict[str, Any]) -> TextTable:
    """How long faults took, the tasks and kinds that took longest in all first."""
    faults = sorted(summary["faults"], key=lambda row: (-row["total_ns"], row["task"], row["kind"]))
    title = "How long page faults took"
    if len(faults) > _MOST_FAULTS:
        title += f": the {_MOST_FAULTS} longest of {len(faults)}"
    table = text_table(title, "task", "fault", "faults", "in all", "half within", "99 % within", "longest", left=2)
    for row in faults[:_MOST_FAULTS]:
        times = [readable_ns(row[key]) for key in ("total_ns", "p50_ns", "p99_ns", "max_ns")]
        table.add_row(row["task"], row["kind"].replace("_", " "), readable_count(row["count"]), *times)
    return table


_MOST_LOCKS: Final = 8


def _lock_table(summary: dict[str, Any]) -> TextTable:
    """Spinlocks, those that were waited for longest first."""
    locks = sorted(summary["locks"], key=lambda lock: (-lock["wait_ns"], -lock["acquisitions"], lock["name"]))
    title = "Spinlocks"
    if len(locks) > _MOST_LOCKS:
        title += f": the {_MOST_LOCKS} waited for longest of {len(locks)}"
    table = text_table(title, "lock", "taken", "contended", "waited", "held")
    for lock in locks[:_MOST_LOCKS]:
        times = [readable_ns(lock[key]) for key in ("wait_ns", "hold_ns")]
        contended = percent(lock["contentions"], lock["acquisitions"])
        table.add_row(lock["name"], readable_count(lock["acquisitions"]), contended, *times)
    return table
