"""R9: kswapd of 2.4.0 may go on and on (both shortages, no swap, not yet out of memory): its CPU is not its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from numa_sim.config.model import Config
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import KSWAPD
from numa_sim.state.counters import OOM_KILL, PAGEOUTRUN, PART_DAEMON

SPARE = 20
"""Pages left free above freepages.min: too few for kswapd, enough for the kernel not to be out of memory."""


def filled(cpus: str, time_slice: str) -> Machine:
    """A machine without swap whose only task has filled memory almost, and then used it for at least 15 ms."""
    machine = Machine(
        Config.of(
            machine={"nodes": [{"memory": "16MiB", "cpus": cpus}], "distances": [[10]], "swap": []},
            kernel={"profile": "linux-2.4.0", "time_slice": time_slice},
            run={"budget": {"events": 2_000_000, "wall": "60s"}},
        )
    )
    pages = int(machine.kernel.zones["free_pages"].sum()) - int(machine.vm.freepages_min) - SPARE

    def program(task: Any) -> Iterator[Any]:
        heap = yield task.mmap(f"{pages * 4096}B")
        yield task.touch(heap, accesses=pages, write=1.0)
        yield task.touch(heap, accesses=3000, compute="5us")

    machine.add(program, name="hog")
    machine.run_to_end()
    return machine


@pytest.mark.parametrize("time_slice", ["100us", "2ms"])
def test_a_kswapd_that_finds_nothing_takes_turns_with_the_only_cpu_s_task(time_slice: str) -> None:
    machine = filled("0", time_slice)
    assert [task.outcome for task in machine.tasks] == ["exited"]
    counters = machine.kernel.vmstat.sum(axis=0)
    assert counters[PAGEOUTRUN] > 3, "it did go round and round"
    assert counters[OOM_KILL] == 0
    share = machine.kernel.time_parts[KSWAPD, PART_DAEMON] / machine.now_ns
    assert 0.2 < share < 0.65


def test_a_kswapd_that_finds_nothing_has_an_idle_cpu_for_itself() -> None:
    machine = filled("0,1", "1ms")
    assert machine.kernel.time_parts[KSWAPD, PART_DAEMON] / machine.now_ns > 0.8
    assert machine.kernel.time_parts[machine.tasks[0].index, PART_DAEMON] < machine.now_ns // 10
