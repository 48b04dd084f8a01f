"""Compiling is said once and shared between two processes; nothing of it is started when all is kept already."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from numa_sim import rule_cache
from numa_sim.cli import compiling
from numa_sim.cli.compiling import compiling_together
from numa_sim.sweep import processes


class Started:
    """What would be the other process."""

    all: list[Started]

    def __init__(self, *_: Any, **__: Any) -> None:
        self.ended: list[str] = []
        Started.all.append(self)

    def terminate(self) -> None:
        self.ended.append("terminate")

    def wait(self) -> None:
        self.ended.append("wait")


@pytest.fixture(autouse=True)
def _no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    Started.all = []
    monkeypatch.setattr(compiling.subprocess, "Popen", Started)
    monkeypatch.setattr(rule_cache, "_told", False)


def test_a_second_process_helps_while_rules_are_compiled_and_is_ended_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "usable_cpus", lambda: 2)
    screen = Console(file=io.StringIO(), width=400)
    with compiling_together(screen):
        assert Started.all == [], "nothing is compiled yet"
        rule_cache.about_to_compile()
        rule_cache.about_to_compile()
        [other] = Started.all
        assert other.ended == []
    assert other.ended == ["terminate", "wait"]
    assert screen.file.getvalue().count("Compiling the kernel rules") == 1  # type: ignore[attr-defined]


def test_one_cpu_is_not_shared_with_a_second_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "usable_cpus", lambda: 1)
    with compiling_together(Console(file=io.StringIO())):
        rule_cache.about_to_compile()
    assert Started.all == []


def test_who_tells_of_compiling_is_as_before_afterwards() -> None:
    before = rule_cache._teller
    with compiling_together(Console(file=io.StringIO())):
        assert rule_cache._teller is not before
    assert rule_cache._teller is before
