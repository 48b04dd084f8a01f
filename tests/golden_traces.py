"""Reads golden traces: recorded behaviour of the original kernel functions (see tests/golden/README.md).

``NUMA_SIM_GOLDEN`` names another folder of files of the same format to replay instead.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FORMAT = "numa_sim-golden-trace"


@dataclass(frozen=True)
class Command:
    """One line of a trace: what was asked of the kernel function and what it did."""

    file: str
    line: int
    seq: int
    op: str
    args: dict[str, Any]
    record: dict[str, Any]

    @property
    def result(self) -> Any:
        return self.record["result"]

    @property
    def state(self) -> dict[str, Any]:
        return self.record.get("state", {})

    @property
    def log(self) -> list[list[Any]]:
        """What the function called, in order; absent on a line = nothing."""
        return self.record.get("log", [])

    @property
    def effects(self) -> list[Any]:
        return self.record.get("effects", [])

    def check(self, what: str, ours: Any, golden: Any) -> None:
        """Fail, naming file, sequence and line, unless the two are equal."""
        if ours != golden:
            pytest.fail(
                f"{self.file}, seq {self.seq}, line {self.line}: {self.op} {self.args}: {what}\n"
                f"  ours:   {ours}\n  golden: {golden}",
                pytrace=False,
            )


def golden_folder() -> Path:
    return Path(os.environ.get("NUMA_SIM_GOLDEN") or Path(__file__).parent / "golden")


def read(path: Path) -> tuple[dict[str, Any], list[Command]]:
    """The header of the file, and its commands."""
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        header = json.loads(stream.readline())
        if header.get("format") != FORMAT:
            raise ValueError(f"{path}: not a {FORMAT} file")
        records = [json.loads(text) for text in stream]
    commands = [Command(path.name, at, r["seq"], r["op"], r["args"], r) for at, r in enumerate(records, start=2)]
    return header, commands


def golden_files(subject: str, kernel: str = "2.4.37") -> list[Path]:
    """Files of `subject` recorded from `kernel`, found by their headers, not their names."""
    found = []
    for path in sorted(golden_folder().glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            header = json.loads(stream.readline())
        if header.get("format") == FORMAT and header["subject"] == subject and header["kernel"] == kernel:
            found.append(path)
    return found


def sequences(subject: str, kernel: str = "2.4.37") -> list[list[Command]]:
    """All sequences of `subject`, each a list of commands that begins with ``init`` and stands on its own."""
    found: list[list[Command]] = []
    for path in golden_files(subject, kernel):
        for command in read(path)[1]:
            if command.op == "init":
                found.append([])
            found[-1].append(command)
    if not found:
        raise FileNotFoundError(f"no golden trace of {subject} {kernel} in {golden_folder()}")
    return found


def replay(subject: str, start: Callable[[Command], Callable[[Command], None]], kernel: str = "2.4.37") -> int:
    """Replay every sequence of `subject`: `start` builds the model from ``init`` and gives what runs the rest.

    Returns the number of commands replayed.  The function that `start` returns is called with every command of the
    sequence, ``init`` included, and compares by `Command.check`.
    """
    done = 0
    for sequence in sequences(subject, kernel):
        step = start(sequence[0])
        for command in sequence:
            step(command)
            done += 1
    return done
