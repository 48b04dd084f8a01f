"""Tables of the printed summary that stand for themselves, and how all of them look."""

from __future__ import annotations

from typing import Any, Final

from numa_sim.results.readable import readable_count, readable_ns

__all__ = ["fault_table", "lock_table", "percent", "share", "text_table"]

_MOST_FAULTS: Final = 12


def fault_table(summary: dict[str, Any]) -> Any:
    """How long faults took, the tasks and kinds that took longest in all first."""
    from rich.text import Text

    faults = sorted(summary["faults"], key=lambda row: (-row["total_ns"], row["task"], row["kind"]))
    title = "How long page faults took"
    if len(faults) > _MOST_FAULTS:
        title += f": the {_MOST_FAULTS} longest of {len(faults)}"
    table = text_table(title, "task", "fault", "faults", "in all", "half within", "99 % within", "longest", left=2)
    for row in faults[:_MOST_FAULTS]:
        times = [readable_ns(row[key]) for key in ("total_ns", "p50_ns", "p99_ns", "max_ns")]
        table.add_row(Text(row["task"]), row["kind"].replace("_", " "), readable_count(row["count"]), *times)
    return table


_MOST_LOCKS: Final = 8


def lock_table(summary: dict[str, Any]) -> Any:
    """Spinlocks, those that were waited for longest first."""
    from rich.text import Text

    locks = sorted(summary["locks"], key=lambda lock: (-lock["wait_ns"], -lock["acquisitions"], lock["name"]))
    title = "Spinlocks"
    if len(locks) > _MOST_LOCKS:
        title += f": the {_MOST_LOCKS} waited for longest of {len(locks)}"
    table = text_table(title, "lock", "taken", "contended", "waited", "held")
    for lock in locks[:_MOST_LOCKS]:
        times = [readable_ns(lock[key]) for key in ("wait_ns", "hold_ns")]
        contended = percent(lock["contentions"], lock["acquisitions"])
        table.add_row(Text(lock["name"]), readable_count(lock["acquisitions"]), contended, *times)
    return table


def percent(part_ns: int, whole_ns: int) -> str:
    """A share in percent, six characters wide and the sign."""
    return f"{100 * part_ns / whole_ns if whole_ns else 0.0:5.1f} %"


def share(part_ns: int, whole_ns: int) -> str:
    """A share in percent, and the time itself."""
    return f"{percent(part_ns, whole_ns)}  {readable_ns(part_ns):>8}"


def text_table(title: str, *columns: str, left: int = 1) -> Any:
    """An empty table of rich; the first `left` columns are words, the others numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    heading = Text(title, style="bold")
    table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for i, name in enumerate(columns):
        justify = "left" if i < left else "right"
        table.add_column(Text(name), justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table
