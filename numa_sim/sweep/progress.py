"""What is shown while a sweep runs: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

__all__ = ["Kind", "Tally", "progress_of"]

Kind = Literal["auto", "rich", "plain", "off"]
_LINE_SECONDS: Final = 30.0
"""Host time between lines of a log, s; there is also one at every tenth of the runs."""


@dataclass
class Tally:
    """Counts of a round, and how fast it goes.  Times are host time, s."""

    clock: Callable[[], float] = time.monotonic
    total: int = 0
    before: int = 0
    done: int = 0
    retried: int = 0
    quarantined: int = 0
    started: float = field(default=0.0)

    def begin(self, total: int, before: int) -> None:
        """So many runs, of which some were there before."""
        self.total, self.before = total, before
        self.done = 0
        self.started = self.clock()

    def ended(self, state: str, _seconds: float = 0.0) -> None:
        """One run more."""
        if state == "retried":
            self.retried += 1
            return
        self.quarantined += state == "quarantined"
        self.done += 1

    @property
    def settled(self) -> int:
        """Runs that need nothing more."""
        return self.before + self.done

    def rate(self) -> float:
        """Runs in a second, since this round began."""
        passed = self.clock() - self.started
        return self.done / passed if passed > 0 else 0.0

    def left_s(self) -> float | None:
        """Host time the rest will take at this rate; None before anything is known."""
        rate = self.rate()
        return (self.total - self.settled) / rate if rate else None

    def words(self) -> str:
        """Counts, rate and time left in words."""
        left = self.left_s()
        said = [f"{self.settled}/{self.total} runs", f"{self.rate():.3g}/s"]
        if left is not None and self.settled < self.total:
            said.append(f"{_span(left)} left")
        if self.retried:
            said.append(f"{self.retried} retried")
        if self.quarantined:
            said.append(f"{self.quarantined} quarantined")
        return ", ".join(said)


def _span(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


class _Plain:
    """Lines for a log: at the beginning, every tenth of the runs or half a minute, and at the end."""

    def __init__(self, write: Callable[[str], None], tally: Tally) -> None:
        self._write, self._tally = write, tally
        self._line_at = 0.0
        self._next = 0

    def begin(self, total: int, before: int) -> None:
        self._tally.begin(total, before)
        self._write(f"{before}/{total} runs")
        self._plan_next()

    def ended(self, state: str, seconds: float) -> None:
        tally = self._tally
        tally.ended(state, seconds)
        late = tally.clock() - self._line_at >= _LINE_SECONDS
        if state == "quarantined" or tally.settled >= self._next or late:
            self._write(tally.words())
            self._plan_next()

    def _plan_next(self) -> None:
        self._line_at = self._tally.clock()
        self._next = min(self._tally.total, self._tally.settled + max(1, self._tally.total // 10))


class _Bar:
    """A line of rich's on a terminal."""

    def __init__(self, bar: Any, tally: Tally) -> None:
        self._bar, self._tally = bar, tally
        self._row = bar.add_task("getting ready", total=None)

    def begin(self, total: int, before: int) -> None:
        self._tally.begin(total, before)
        self._bar.update(self._row, total=total, completed=before, description=self._tally.words())

    def ended(self, state: str, seconds: float) -> None:
        self._tally.ended(state, seconds)
        self._bar.update(self._row, completed=self._tally.settled, description=self._tally.words())


@contextmanager
def progress_of(kind: Kind, console: Any) -> Iterator[Any]:
    """Whom `numa_sim.sweep.run_sweep` shall tell; None for nobody.

    Parameters
    ----------
    kind : {"auto", "rich", "plain", "off"}
        auto: rich on a terminal, plain elsewhere.
    console : rich.console.Console
        Where it is shown.
    """
    from numa_sim.sweep.runner import Progress

    if kind == "auto":
        kind = "rich" if console.is_terminal else "plain"
    if kind == "off":
        yield None
        return
    if kind == "plain":
        plain = _Plain(lambda line: console.print(line, highlight=False, soft_wrap=True), Tally())
        yield Progress(plain.begin, plain.ended)
        return
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Line

    with Line(SpinnerColumn(), BarColumn(), TextColumn("{task.description}"), console=console, transient=True) as line:
        bar = _Bar(line, Tally())
        yield Progress(bar.begin, bar.ended)
