"""Recorded events as lines of text, laid out as ftrace lays them out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from numa_sim.errors import ConfigError
from numa_sim.observe.events import OPERANDS
from numa_sim.results.run import Run
from numa_sim.state.event_codes import EVENTS

__all__ = ["ftrace_lines"]

_KERNEL_TASKS: Final = ("swapper-0", "kswapd-1")
_NOBODY: Final = "<...>-0"


def ftrace_lines(run: Run, names: Sequence[str] = (), task: str | None = None) -> Iterator[str]:
    """Lines of a run's recorded events in their order: task and pid, simulated seconds, event, operands.

    Parameters
    ----------
    run : Run
        A run with events (``run.record_events``).
    names : sequence of str
        Only events of these names (`EVENTS`); all by default.
    task : str, optional
        Only those of this task.

    Raises
    ------
    RunFolderError
        If the run recorded none.
    ConfigError
        If no event, or no task, has such a name.
    """
    for name in names:
        if name not in EVENTS:
            raise ConfigError("events", "name", f"no event is called {name!r}", EVENTS[1:])
    tasks = dict(enumerate(_KERNEL_TASKS))
    tasks |= {row["task"]: f"{row['name']}-{row['pid']}" for row in run.summary["tasks"]}
    wanted = {index for index, label in tasks.items() if task in (None, label, label.rpartition("-")[0])}
    if task is not None and not wanted:
        raise ConfigError("events", "task", f"no task is called {task!r}", tuple(tasks.values()))
    columns = run.events.to_pydict()
    for t_ns, index, name, a, b in zip(*(columns[key] for key in ("t_ns", "task", "event", "a", "b")), strict=True):
        if (names and name not in names) or (task is not None and index not in wanted):
            continue
        seconds, rest_ns = divmod(t_ns, 1_000_000_000)
        operands = " ".join(
            f"{key}={value}" for key, value in zip(OPERANDS.get(name, ("a", "b")), (a, b), strict=False)
        )
        yield f"{tasks.get(index, _NOBODY):>24} {seconds:5d}.{rest_ns:09d}: {name}: {operands}".rstrip(": ")
