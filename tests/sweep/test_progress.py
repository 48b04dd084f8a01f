"""What a sweep says while it runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from numa_sim.sweep.progress import Tally, progress_of


class Clock:
    """Host time that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_rate_is_that_of_runs_made_now_and_the_time_left_follows_from_it() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.begin(1000, 900)
    assert tally.left_s() is None
    for _ in range(10):
        clock.now += 2
        tally.ended("done")
    tally.ended("retried")
    assert (tally.rate(), tally.left_s()) == (0.5, 180)
    assert tally.words() == "910/1000 runs, 0.5/s, 3 min 00 s left, 1 retried"
    tally.ended("quarantined")
    assert tally.words().endswith("left, 1 retried, 1 quarantined")


def lines_of(runs: int, seconds: float, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    clock = Clock()
    monkeypatch.setattr(Tally, "__init__", lambda self: self.__dict__.update(vars(_empty(clock))))
    screen = io.StringIO()
    with progress_of("auto", Console(file=screen)) as progress:
        progress.begin(runs, 0)
        for _ in range(runs):
            clock.now += seconds
            progress.ended("done", seconds)
    return screen.getvalue().splitlines()


def _empty(clock: Clock) -> Tally:
    tally = Tally.__new__(Tally)
    tally.clock, tally.total, tally.before, tally.done = clock, 0, 0, 0
    tally.retried, tally.quarantined, tally.started = 0, 0, 0.0
    return tally


def test_a_log_gets_a_line_at_every_tenth_of_the_runs_not_one_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(5000, 0.01, monkeypatch)
    assert len(lines) == 11
    assert lines[0] == "0/5000 runs"
    assert lines[1] == "500/5000 runs, 100/s, 45 s left"
    assert lines[-1] == "5000/5000 runs, 100/s"


def test_a_log_of_long_runs_gets_a_line_every_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(lines_of(100, 31.0, monkeypatch)) == 101


def test_a_terminal_gets_a_bar_and_nobody_gets_nothing() -> None:
    screen = io.StringIO()
    with progress_of("auto", Console(file=screen, force_terminal=True, width=100)) as progress:
        progress.begin(4, 1)
        progress.ended("done", 0.1)
    assert "2/4 runs" in screen.getvalue()
    with progress_of("off", Console(file=screen)) as progress:
        assert progress is None
