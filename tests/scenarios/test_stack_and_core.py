"""Scenario 10: stacks that grow to their limit, the rule of 32 bytes, holes, SIGSEGV and SIGBUS, core files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scenarios.shipped import CONFIGS

from numa_sim.config import load
from numa_sim.kernel.coredump import HOLE, CoreDump, CoreSegment
from numa_sim.observe.elf_core import core_name
from numa_sim.observe.result import RunResult
from numa_sim.processes.machine import Machine
from numa_sim.results import Run, verify_run, write_run
from numa_sim.state.constants import SEGV_MAPERR, SIGBUS, SIGSEGV

PAGE = 4096
STACK_TOP = 0xC000_0000
FIRST_PAGES = 2
"""Pages of the stack area at the start."""
MIB_PAGES = 256


def crashes(*settings: str) -> tuple[Machine, RunResult]:
    machine = Machine(load(CONFIGS / "stack-and-core.toml", settings))
    return machine, machine.run_to_end()


def core(result: RunResult, name: str) -> CoreDump:
    (dump,) = (dump for dump in result.cores if dump.name == name)
    return dump


def stack(dump: CoreDump) -> CoreSegment:
    assert (dump.segments[-1].start_vpn + dump.segments[-1].pages) * PAGE == STACK_TOP
    return dump.segments[-1]


def record(machine: Machine, name: str) -> Any:
    (task,) = (task for task in machine.tasks if task.name == name)
    return machine.kernel.tasks[task.index]


@pytest.mark.row("S3-189", "S3-096", "S3-102", "X-10")
def test_who_dies_of_what() -> None:
    machine, result = crashes()
    assert {task.name: task.outcome for task in machine.tasks} == {
        "deep": "segmentation fault",
        "leap": "segmentation fault",
        "hole": "segmentation fault",
        "beyond": "bus error",
        "careful": "exited",
    }
    assert {dump.name: dump.signal for dump in result.cores} == {
        "deep": SIGSEGV, "leap": SIGSEGV, "hole": SIGSEGV, "beyond": SIGBUS,
    }  # fmt: skip
    assert int(record(machine, "hole").si_addr) == 0x5000_1234
    assert int(record(machine, "leap").si_addr) == 0xBFFF_0000
    assert {int(record(machine, name).si_code) for name in ("deep", "leap", "hole")} == {SEGV_MAPERR}
    states = {task["name"]: task["state"] for task in Run.of(result).summary["tasks"]}
    assert states["deep"] == "killed (SIGSEGV, core dumped)"
    assert states["beyond"] == "killed (SIGBUS, core dumped)"


@pytest.mark.row("X-10", "S3-090")
@pytest.mark.parametrize(("limit", "pages"), [("1MiB", MIB_PAGES), ("512KiB", MIB_PAGES // 2), ("2MiB", 301)])
def test_the_stack_grows_to_its_limit_and_the_core_file_has_every_page_of_it(limit: str, pages: int) -> None:
    machine, result = crashes(f"workload.0.limits.stack={limit}")
    died = limit != "2MiB"
    assert record(machine, "deep").killed == died
    accesses = int(record(machine, "deep").accesses_done) - 16
    assert accesses == (pages - 1 if died else 300), "the topmost page is left out"
    if not died:
        return
    area = stack(core(result, "deep"))
    assert area.pages == pages
    assert area.contents[-1] == HOLE, "nothing was on the topmost page"
    vpn = np.arange(area.start_vpn, area.start_vpn + area.pages - 1)
    assert np.array_equal(area.contents[:-1], vpn + 1), "each page as its one store left it"


@pytest.mark.row("S3-196")
def test_the_rest_of_the_core_file() -> None:
    _, result = crashes()
    deep, hole = core(result, "deep"), core(result, "hole")
    heap = deep.segments[0]
    assert (heap.contents[:16] != HOLE).all()
    assert (heap.contents[16:] == HOLE).all()
    assert [segment.start_vpn * PAGE for segment in hole.segments[:2]] == [0x5000_0000, 0x5000_2000], "and not between"
    assert stack(core(result, "leap")).pages == (STACK_TOP - 0xBFFF_8000) // PAGE, "grown once, not again"
    assert stack(hole).pages == FIRST_PAGES


@pytest.mark.row("X-10")
def test_without_a_limit_for_it_there_is_no_core_file() -> None:
    _, result = crashes("workload.0.limits.core=0B")
    assert [dump.name for dump in result.cores] == ["hole", "leap", "beyond"]


@pytest.mark.row("S3-189", "S3-190", "S3-193")
def test_readelf_finds_the_grown_stack(tmp_path: Path) -> None:
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("readelf is not installed")
    _, result = crashes()
    folder = write_run(result, tmp_path / "run", picture=False)
    assert verify_run(folder) == []
    names = {core_name(dump) for dump in result.cores}
    assert {path.name for path in (folder / "cores").iterdir()} == names
    file = folder / "cores" / core_name(core(result, "deep"))
    text = subprocess.run([readelf, "-lW", file], capture_output=True, text=True, timeout=60, check=True).stdout
    assert f"0x{STACK_TOP - (1 << 20):08x} 0x00000000 0x100000 0x100000" in text
