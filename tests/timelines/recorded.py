"""Small runs with a timeline, of every kernel and with everything that goes onto it."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

from machine.small import NVME, ZRAM, small, sweep
from timelines.decoded import Track, decode

from numa_sim.observe.result import RunResult
from numa_sim.processes.machine import Machine
from numa_sim.results import Run
from numa_sim.results.timelines import exported

HDD = {"device": "hdd", "size": "16MiB", "priority": 5}


def pressed(timeline: Any = True, **more: Any) -> Machine:
    """Two nodes of 4 MiB, three programs that need half as much again, two of them on one CPU."""
    run = {"sample": "1ms", "timeline": timeline, **more.pop("run", {})}
    times = more.pop("times", 1)
    machine = small((4, 4), cpus=("0-1", "2-3"), run=run, **more)
    machine.add(sweep(700 * times, 2), name="big", cpus=[0])
    machine.add(sweep(500 * times, 2), name="second", cpus=[0])
    machine.add(sweep(400 * times, 2), name="third", cpus=[2, 3])
    return machine


def busy(machine: Machine) -> Machine:
    """With a task more, which computes and sleeps for long."""

    def computes(task: Any) -> Any:
        for _ in range(10):
            yield task.sleep("100us")
            yield task.compute("2ms")

    machine.add(computes, cpus=[1])
    return machine


def full(timeline: Any = True) -> Machine:
    """A task that needs more than memory and swap hold, beside a little one."""
    costs = {"context_switch": "100us"}  # the seconds in which reclaimers yield again and again are soon over
    machine = small((4,), cpus=("0-1",), swap=({**NVME, "size": "1MiB"},), costs=costs, run={"timeline": timeline})
    machine.add(sweep(5 * 256), name="hog", cpus=[0])
    machine.add(sweep(64, 20), name="little", cpus=[1])
    return machine


def forked(timeline: Any = True, **more: Any) -> Machine:
    """A parent whose children write to what it has written, and read what nobody has."""

    def parent(task: Any) -> Any:
        heap = yield task.mmap(300 * 4096)

        def child(task: Any) -> Any:
            yield task.touch(heap, write=1.0)

        yield task.touch(heap, write=1.0)
        unread = yield task.mmap(50 * 4096)
        yield task.touch(unread, write=0.0)
        for _ in range(3):
            yield task.fork(child)
        for _ in range(3):
            yield task.wait()

    machine = small((8,), cpus=("0-1",), run={"timeline": timeline}, **more)
    machine.add(parent, name="parent")
    return machine


def threads(timeline: Any = True) -> Machine:
    """Three threads that write the same memory, more than there is: faults wait for mmap_sem, and for one another."""

    def parent(task: Any) -> Any:
        heap = yield task.mmap(900 * 4096)

        def thread(task: Any) -> Any:
            for _ in range(2):
                yield task.touch(heap, write=1.0)

        for _ in range(3):
            yield task.clone(thread)
        for _ in range(3):
            yield task.wait()

    machine = small((4,), cpus=("0-3",), run={"timeline": timeline})
    machine.add(parent, name="parent")
    return machine


def balanced(timeline: Any = True) -> Machine:
    """More tasks than CPUs, which pull them from one another."""
    kernel = {"balance": {"within_node": True, "across_nodes": True}, "time_slice": "200us"}
    machine = small((4, 4), cpus=("0-1", "2-3"), run={"timeline": timeline}, kernel=kernel)

    def program(time_ns: int) -> Any:
        def computes(task: Any) -> Any:
            heap = yield task.mmap(50 * 4096)
            yield task.touch(heap, write=1.0)
            yield task.compute(time_ns)

        return computes

    for i in range(11):
        machine.add(program(100_000 * (i % 4) ** 3), name=f"task-{i}")
    return machine


def mapped(timeline: Any = True, profile: str = "linux-2.4.37") -> Machine:
    """A task that maps a file of 3 MiB and writes it, another that reads it by system calls; both more than fit."""

    def maps(task: Any) -> Any:
        file = yield task.open("data")
        area = yield task.mmap(file=file, shared=True)
        yield task.touch(area, write=0.5)

    def reads(task: Any) -> Any:
        file = yield task.open("data")
        yield task.read(file, 2 << 20)
        yield task.write(file, 1 << 20)
        yield task.fsync(file)

    machine = Machine.of(
        nodes=[{"memory": "4MiB", "cpus": "0-1"}],
        distances=[[10]],
        disk=[{"device": "hdd", "name": "sda", "size": "64MiB"}],
        swap=[NVME],
        file=[{"name": "data", "size": "3MiB", "disk": "sda"}],
        kernel={"profile": profile},
        run={"timeline": timeline},
    )
    machine.add(maps, name="maps", cpus=[0])
    machine.add(reads, name="reads", cpus=[1])
    return machine


MACHINES: dict[str, Any] = {
    "2.2": lambda on=True: pressed(on, kernel={"profile": "linux-2.2"}, times=2),
    "2.4.0": lambda on=True: pressed(on, kernel={"profile": "linux-2.4.0"}),
    "2.4.22": lambda on=True: pressed(on, kernel={"profile": "linux-2.4.22"}),
    "2.4.37": pressed,
    "hdd": lambda on=True: pressed(on, swap=(HDD,)),
    "zram": lambda on=True: pressed(on, swap=(ZRAM,)),
    "policy": lambda on=True: pressed(on, kernel={"reclaim": "whole-process"}),
    "no daemons": lambda on=True: pressed(on, kernel={"switches": {"kswapd": False}}),
    "fork": forked,
    "threads": threads,
    "balanced": balanced,
    "files": mapped,
    "killed": full,
    "stopped": lambda on=True: busy(pressed(on, run={"until": "3ms"})),
}
"""Machines to be run, by what is special about them."""


@cache
def finished(name: str) -> RunResult:
    """A machine's run with a timeline, made once for all tests."""
    return MACHINES[name]().run_to_end()


@cache
def seen(name: str) -> Run:
    """The same, to look at."""
    return Run.of(finished(name))


@cache
def counters(name: str) -> Counter[str]:
    """Counters of all nodes together."""
    total: Counter[str] = Counter()
    for node in seen(name).summary["nodes"]:
        total.update(node["vmstat"])
    return total


@cache
def tracks(name: str) -> dict[str, Track]:
    """Its Perfetto trace, decoded."""
    return decode(exported(seen(name), "perfetto"))
