"""What a run says on the terminal while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from numa_sim.units import format_ns

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine

Progress = Callable[["Machine"], None]


@contextmanager
def progress_line(talk: Console, limit_ns: int | None) -> Iterator[Progress | None]:
    """A progress line on a terminal, with a bar if the run ends at `limit_ns`; nothing elsewhere."""
    if not talk.is_terminal or talk.quiet:
        yield None
        return
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Line

    columns = (SpinnerColumn(), TextColumn("{task.description}"), *((BarColumn(),) if limit_ns else ()))
    with Line(*columns, console=talk, transient=True) as line:
        shown = line.add_task("booting", total=limit_ns)

        def update(machine: Machine) -> None:
            alive = sum(task.process.is_alive for task in machine.tasks)
            words = f"simulated {_rounded(machine.now_ns)}   {alive} of {len(machine.tasks)} tasks alive"
            line.update(shown, completed=machine.now_ns, description=words)

        yield update


def _rounded(now_ns: int) -> str:
    """Simulated time to the millisecond once it is beyond one."""
    return format_ns(now_ns // 1_000_000 * 1_000_000 if now_ns >= 1_000_000 else now_ns)
