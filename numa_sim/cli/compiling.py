"""Compiling the rules: said once, and done from both ends at a time where there is a second CPU."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def compiling_together(talk: Console) -> Iterator[None]:
    """Say when rules must be compiled, and have a second process compile them from the other end until this is left.

    Whichever of the two comes to a rule first compiles it and keeps it for the other (`numa_sim.rule_cache`).
    """
    from numa_sim.compiled import announce_compiling
    from numa_sim.sweep.processes import usable_cpus

    started: list[subprocess.Popen[bytes]] = []

    def compile_begins(message: str) -> None:
        talk.print(message, highlight=False)
        if usable_cpus() > 1:
            started.append(_process_from_the_end())

    before = announce_compiling(compile_begins)
    try:
        yield
    finally:
        announce_compiling(before)
        for other in started:
            other.terminate()
            other.wait()


def _process_from_the_end() -> subprocess.Popen[bytes]:
    command = "from numa_sim.cli.compiling import compile_from_the_end; compile_from_the_end()"
    return subprocess.Popen(
        [sys.executable, "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def compile_from_the_end() -> None:
    """Compile what `compile_all` does, of what each rule calls the last first."""
    from numa_sim import rule_calls
    from numa_sim.processes.warm_up import warm_up

    rule_calls.last_called_first = True
    warm_up()


def compile_all() -> None:
    """Compile every rule that runs use, by running a small machine short of memory."""
    talk = Console(stderr=True)
    from numa_sim.compiled import COMPILED, cache_folder

    if not COMPILED:
        talk.print("NUMBA_DISABLE_JIT is set: nothing to compile")
        return
    from numa_sim.processes.warm_up import warm_up

    started = time.perf_counter()
    with compiling_together(talk):
        warm_up()
    talk.print(f"compiled code in {cache_folder()}, {time.perf_counter() - started:.1f} s", highlight=False)
