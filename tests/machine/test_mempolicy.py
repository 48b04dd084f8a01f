"""Memory policies on whole machines: where the pages of programs come to lie, and what happens when a node is full."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from machine.small import NVME, PAGE, Program, counters, finish, small

from numa_sim.config.model import Config
from numa_sim.config.resolve import topology_of
from numa_sim.errors import ConfigError
from numa_sim.observe.hashes import event_hash, state_hash
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import TASK_DEAD
from numa_sim.state.counters import INTERLEAVE_HIT, NUMA_MISS, OTHER_NODE
from numa_sim.workloads.mempolicy import MemPolicy
from numa_sim.workloads.patterns import sequential

TRACES = Path(__file__).parents[2] / "configs" / "traces"
FULL = {"check": "full"}
NEAREST = {"numa_fallback": "nearest"}


def machine(nodes: tuple[int, ...] = (8, 8), kernel: dict[str, Any] = NEAREST, **tables: Any) -> Machine:
    return small(nodes, kernel=kernel, run=FULL, **tables)


def seen(m: Machine, who: str = "100") -> list[tuple[str, dict[int, int]]]:
    """Policy and pages per node of every area that has pages, but the stack."""
    rows = []
    for line in m.procfs(f"{who}/numa_maps").splitlines():
        words = line.split()
        pages = {int(node): int(n) for node, n in re.findall(r" N(\d+)=(\d+)", line)}
        if pages and "stack" not in words:
            rows.append((re.sub(r" (anon|file|heap|mapped|dirty).*", "", line.split(" ", 1)[1]), pages))
    return rows


def run(m: Machine, program: Any, **task: Any) -> list[Any]:
    """Run `program`; what its yields of ``look`` saw."""
    found: list[Any] = []

    def watched(handle: Any) -> Program:
        steps = program(handle)
        answer = None
        while True:
            try:
                operation = steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
            except StopIteration:
                return
            if operation == "look":
                found.append(seen(m))
                answer = None
                continue
            try:
                answer = yield operation
            except OSError as error:
                answer = error

    m.add(watched, cpus=[0], **task)
    finish(m)
    return found


@pytest.mark.parametrize("profile", ["linux-2.4.0", "linux-2.4.22", "linux-2.4.37"])
def test_numactl_deals_all_pages_of_a_task_out(profile: str) -> None:
    def program(task: Any) -> Program:
        heap = yield task.mmap(999 * PAGE)
        yield task.touch(heap, write=1.0)
        yield "look"

    m = machine((8, 8, 8), NEAREST | {"profile": profile})
    (found,) = run(m, program, mempolicy=MemPolicy("interleave", (0, 1, 2)))
    assert found == [("interleave:0-2", {0: 333, 1: 333, 2: 333})]
    assert m.kernel.vmstat[:, INTERLEAVE_HIT].sum() >= 999
    assert m.kernel.vmstat[:, NUMA_MISS].sum() == 0


def test_the_same_program_without_a_policy_stays_on_its_node() -> None:
    def program(task: Any) -> Program:
        heap = yield task.mmap(999 * PAGE)
        yield task.touch(heap, write=1.0)
        yield "look"

    m = machine()
    assert run(m, program) == [[("default", {0: 999})]]
    assert counters(m)["interleave_hit"] == counters(m)["other_node"] == 0


def test_mbind_splits_an_area_at_its_ends_and_leaves_pages_where_they_are() -> None:
    def program(task: Any) -> Program:
        heap = yield task.mmap(100 * PAGE)
        yield task.touch(heap, write=1.0, length=50 * PAGE)
        yield task.mbind(heap, "bind", [1], offset=40 * PAGE, length=20 * PAGE)
        yield task.touch(heap, sequential(), write=1.0)
        yield "look"
        yield task.mbind(heap, "bind", [1], offset=60 * PAGE)
        yield "look"
        yield task.mbind(heap, "default")
        yield "look"

    apart, more, again = run(machine(kernel=NEAREST | {"vma_rules": "linux-6.1"}), program)
    assert apart == [("default", {0: 40}), ("bind:1", {0: 10, 1: 10}), ("default", {0: 40})]
    assert more == [("default", {0: 40}), ("bind:1", {0: 50, 1: 10})]  # alike now, they merge
    assert again == [("default", {0: 90, 1: 10})]


def test_new_memory_beside_an_area_with_a_policy_stays_an_area_of_its_own() -> None:
    def program(task: Any) -> Program:
        first = yield task.mmap(10 * PAGE, at=0x40000000)
        yield task.mbind(first, "bind", [1])
        second = yield task.mmap(10 * PAGE, at=0x40000000 + 10 * PAGE)
        for region in (first, second):
            yield task.touch(region, write=1.0)
        yield task.mprotect(second, "r--")
        yield task.mprotect(second, "rw-")
        yield "look"

    for rules in ("profile", "linux-6.1"):
        (found,) = run(machine(kernel=NEAREST | {"vma_rules": rules}), program)
        assert found == [("bind:1", {1: 10}), ("default", {0: 10})], rules


def test_a_moved_area_keeps_its_policy() -> None:
    def program(task: Any) -> Program:
        heap = yield task.mmap(10 * PAGE, at=0x40000000)
        yield task.mmap(PAGE, at=0x40000000 + 10 * PAGE)
        yield task.mbind(heap, "bind", [1])
        heap = yield task.mremap(heap, 20 * PAGE)
        yield task.touch(heap, write=1.0)
        yield "look"

    assert ("bind:1", {1: 20}) in run(machine(), program)[0]


def test_policies_are_inherited_by_children_and_kept_by_exec() -> None:
    pages = {}

    def toucher(name: str) -> Any:
        def program(task: Any) -> Program:
            heap = yield task.mmap(9 * PAGE)
            yield task.touch(heap, write=1.0)
            pages[name] = seen(m, str(task.pid))

        return program

    def execs(task: Any) -> Program:
        yield task.exec(toucher("exec"))

    def program(task: Any) -> Program:
        heap = yield task.mmap(8 * PAGE)
        yield task.mbind(heap, "bind", [1])
        yield task.touch(heap, write=1.0)
        yield task.set_mempolicy("preferred", [1])
        yield task.fork(toucher("fork"))
        yield task.wait()
        yield task.clone(toucher("clone"))
        yield task.fork(execs)
        for _ in range(2):
            yield task.wait()

    m = machine()
    run(m, program)
    assert pages["fork"] == [("bind:1", {1: 8}), ("prefer:1", {1: 9})]
    assert ("prefer:1", {1: 9}) in pages["clone"]
    assert pages["exec"] == [("prefer:1", {1: 9})]


def test_a_copy_on_write_comes_from_where_the_area_says() -> None:
    found = []

    def child(task: Any) -> Program:
        yield task.touch(heaps[0], write=1.0)
        found.append(seen(m, str(task.pid)))

    heaps = []

    def program(task: Any) -> Program:
        heap = yield task.mmap(8 * PAGE)
        heaps.append(heap)
        yield task.touch(heap, write=1.0)
        yield task.mbind(heap, "bind", [1])
        yield task.fork(child)
        yield task.wait()
        yield "look"

    m = machine()
    (mine,) = run(m, program)
    assert found == [[("bind:1", {1: 8})]]
    assert mine == [("bind:1", {0: 8})]


def test_the_page_cache_knows_the_tasks_policy_only() -> None:
    """Pages of a mapped file are dealt out by turn; private copies of them come from where the area says."""

    def program(task: Any) -> Program:
        yield task.set_mempolicy("interleave", [0, 1])
        file = yield task.open("data", "read")
        region = yield task.mmap(64 * PAGE, file=file)
        yield task.mbind(region, "bind", [1])
        yield task.touch(region)
        yield "look"
        yield task.touch(region, write=1.0)
        yield "look"

    disk = {
        "disk": [{"name": "d", "device": "nvme", "size": "16MiB"}],
        "file": [{"name": "data", "disk": "d", "size": "1MiB"}],
    }
    cached, copied = run(machine(**disk), program)
    assert cached == [("bind:1", {0: 32, 1: 32})]
    assert copied == [("bind:1", {1: 64})]


def test_shared_memory_comes_from_where_its_area_says() -> None:
    def program(task: Any) -> Program:
        region = yield task.mmap(40 * PAGE, shared=True)
        yield task.mbind(region, "interleave", [0, 1])
        yield task.touch(region, write=1.0)
        yield "look"

    (found,) = run(machine(), program)
    assert found == [("interleave:0-1", {0: 20, 1: 20})]


@pytest.mark.parametrize("profile", ["linux-2.4.0", "linux-2.4.22", "linux-2.4.37"])
@pytest.mark.parametrize("fallback", ["strict24", "nearest"])
def test_bound_memory_goes_to_swap_and_back_rather_than_next_door(profile: str, fallback: str) -> None:
    def program(task: Any) -> Program:
        heap = yield task.mmap(2400 * PAGE)
        yield task.mbind(heap, "bind", [1])
        for _ in range(2):
            yield task.touch(heap, sequential(), write=1.0)
        yield "look"

    m = small((8, 8), swap=({**NVME, "size": "32MiB"},), kernel={"profile": profile, "numa_fallback": fallback})
    (((policy, pages),),) = run(m, program)
    assert policy == "bind:1"
    assert set(pages) == {1}
    assert counters(m)["pswpin"] > 0
    assert m.kernel.vmstat[:, NUMA_MISS].sum() == 0


@pytest.mark.parametrize("mode", ["preferred", "interleave", "preferred_many"])
def test_other_modes_spill(mode: str) -> None:
    def program(task: Any) -> Program:
        heap = yield task.mmap(2400 * PAGE)
        yield task.mbind(heap, mode, [1])
        yield task.touch(heap, sequential(), write=1.0)
        yield "look"

    m = machine((16, 8), swap=())
    (((_, pages),),) = run(m, program)
    assert sum(pages.values()) == 2400
    assert set(pages) == {0, 1}
    hits = counters(m)["interleave_hit"]
    assert hits == (pages[1] if mode == "interleave" else 0)


@pytest.mark.parametrize("profile", ["linux-2.4.0", "linux-2.4.22", "linux-2.4.37"])
def test_a_full_set_kills_who_has_memory_there_while_other_nodes_have_room(profile: str) -> None:
    """A task bound to the other node is spared, though it is the biggest."""

    def hog(pages: int, sleep: str = "5s") -> Any:
        def program(task: Any) -> Program:
            heap = yield task.mmap(pages * PAGE)
            yield task.touch(heap, write=1.0)
            yield task.sleep(sleep)

        return program

    m = small((24, 8), swap=(), kernel={"profile": profile, "numa_fallback": "nearest"})
    big = m.add(hog(3500), cpus=[0], mempolicy=MemPolicy("bind", (0,)))
    bound = m.add(hog(2200), cpus=[1], mempolicy=MemPolicy("bind", (1,)))
    m.run_to_end()
    assert bound.record.killed
    assert not big.record.killed
    assert big.record.state == TASK_DEAD
    assert any("Out of Memory" in warning for warning in m.warnings)
    assert m.kernel.zones["free_pages"][:3].sum() > 1000
    assert m.kernel.vmstat[:, OTHER_NODE].sum() < 20


@pytest.mark.parametrize(
    ("policy", "path", "says", "allowed"),
    [
        ({"mode": "bind"}, "workload.0.policy.nodes", "missing", "nodes like"),
        ({"mode": "bind", "nodes": [7]}, "workload.0.policy.nodes", "no node 7", "nodes 0 to 2"),
        ({"mode": "bind", "nodes": "2"}, "workload.0.policy.nodes", "no node of 2 has memory", "nodes 0-1"),
        ({"mode": "local", "nodes": [0]}, "workload.0.policy.nodes", "has no nodes", "remove it"),
        ({"mode": "preferred", "nodes": "0-1"}, "workload.0.policy.nodes", "one node, not 2", "one node"),
        ({"mode": "striped", "nodes": [0]}, "workload.0.policy.mode", "striped", "weighted_interleave"),
        ({"mode": "bind", "nodes": [-1]}, "workload.0.policy.nodes", "not a list of nodes", "nodes like"),
        ({"mode": "bind", "nodes": "x"}, "workload.0.policy.nodes", "x", "nodes like"),
        ({"mode": "bind", "nodes": [0], "weights": [1]}, "workload.0.policy.weights", "weighted", "remove it"),
        (
            {"mode": "weighted_interleave", "nodes": [0, 1], "weights": [1]},
            "workload.0.policy.weights",
            "1 weights for 2 nodes",
            "2 of them",
        ),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused_before_the_run(
    policy: dict[str, Any], path: str, says: str, allowed: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        topology_of(three_nodes(policy=policy))
    assert refused.value.path == path
    assert says in refused.value.message
    assert any(allowed in choice for choice in refused.value.allowed)


def three_nodes(profile: str = "linux-2.4.37", **workload: Any) -> Config:
    """Three nodes, the last without memory."""
    return Config.of(
        machine={
            "nodes": [{"memory": size, "cpus": str(i)} for i, size in enumerate(("8MiB", "8MiB", "0B"))],
            "distances": [[10 if i == j else 20 for j in range(3)] for i in range(3)],
        },
        kernel={"profile": profile},
        workload=[{"name": "a", "program": [{"op": "exit"}]} | workload],
    )


def test_a_recorded_trace_is_placed_by_the_policy_of_its_workload() -> None:
    def pages_of_node_1(policy: dict[str, Any] | None) -> int:
        trace = {"file": str(TRACES / "sort-text.npz"), "limit": 3000}
        m = Machine(three_nodes(trace=trace, program=None, cpus="0", policy=policy))
        m.run_to_end()
        return int(m.kernel.vmstat[1, [OTHER_NODE, NUMA_MISS]].sum())

    assert pages_of_node_1(None) == 0
    assert pages_of_node_1({"mode": "bind", "nodes": [1]}) > 100


def test_an_operation_is_refused_where_it_stands() -> None:
    program = [
        {"op": "mmap", "as": "heap", "size": "1MiB"},
        {"op": "mbind", "on": "heap", "mode": "bind", "nodes": [9]},
    ]
    with pytest.raises(ConfigError) as refused:
        topology_of(three_nodes(program=program))
    assert refused.value.path == "workload.0.program.1.nodes"


def test_linux_2_2_has_no_lists_to_choose_from() -> None:
    with pytest.raises(ConfigError) as refused:
        three_nodes("linux-2.2", policy={"mode": "bind", "nodes": [0]})
    assert refused.value.path == "workload.0.policy"
    assert "one list of free pages" in refused.value.message


def test_programs_get_the_errors_of_linux() -> None:
    errors = []

    def program(task: Any) -> Program:
        heap = yield task.mmap(8 * PAGE)
        yield task.munmap(heap, 4 * PAGE, PAGE)
        for call in (task.set_mempolicy("bind", [5]), task.set_mempolicy("bind"), task.mbind(heap, "bind", [1])):
            try:
                yield call
            except OSError as error:
                errors.append(error.strerror)
        yield task.mbind(heap, "default")  # the default may be given to holes
        with pytest.raises(ConfigError, match=r"no mode 'striped'.*default"):
            task.set_mempolicy("striped")

    m = machine()
    m.add(program)
    finish(m)
    assert [text.split(": ")[1] for text in errors] == ["Invalid argument", "Invalid argument", "Bad address"]
    assert len(m.warnings) == 3


def test_configured_policies_are_those_of_programs_and_make_the_same_run() -> None:
    """R1: the same run from a configuration, twice; its state hash tells the policies apart."""

    def ran(nodes: str) -> tuple[str, str]:
        program = [
            {"op": "set_mempolicy", "mode": "interleave", "nodes": nodes},
            {"op": "mmap", "as": "heap", "size": "1MiB"},
            {"op": "mbind", "on": "heap", "mode": "bind", "nodes": nodes, "offset": "8KiB"},
            {"op": "touch", "on": "heap", "pattern": {"kind": "sequential"}, "accesses": 256, "write": 1.0},
        ]
        m = Machine(three_nodes(program=program))
        m.run_to_end()
        return event_hash(m.kernel), state_hash(m.kernel)

    assert ran("0-1") == ran("0-1")
    assert ran("0") != ran("1")
