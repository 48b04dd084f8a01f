"""Processes made by others: what fork copies and shares, who waits for whom, and that nothing is left of them."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import Any, get_args

import pytest
from machine.small import NVME, PAGE, Program, counters, finish, free_pages, parts, small

from numa_sim.compiled import entry
from numa_sim.config.kernel import Kernel as KernelTable
from numa_sim.errors import ConfigError, SimulationError
from numa_sim.kernel.pgtable import get_pte
from numa_sim.observe.events import recorded_events
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import NIL, PAGE_SHIFT, PTE_ACCESSED, PTE_DIRTY, PTE_RW, TASK_DEAD, TASK_ZOMBIE
from numa_sim.workloads.children import Ended
from numa_sim.workloads.program import Region

PROFILES = get_args(KernelTable.model_fields["profile"].annotation)
_get_pte = entry(get_pte)
FULL = {"check": "full"}


def pte_of(machine: Machine, task: int, vpn: int) -> int:
    """A task's page-table entry."""
    return int(_get_pte(machine.kernel, int(machine.kernel.tasks[task].mm), vpn))


def tag_of(machine: Machine, task: int, vpn: int) -> int:
    """What a task's page contains."""
    return int(machine.kernel.tags[pte_of(machine, task, vpn) >> PAGE_SHIFT])


def nothing_is_left(machine: Machine, free_before: int) -> None:
    """No address space, frame, page table, slot or open file is in use once every task is gone."""
    k = machine.kernel
    assert not k.mms.used[1:].any()
    assert not k.mms.rss.any()
    assert not k.mms.mm_users[1:].any()
    assert not k.swap_map[k.swap_map < 0x8000].any()
    assert not k.files.f_count[1:].any()
    assert free_pages(machine) == free_before
    assert (k.tasks.mm == NIL).all()


def run_whole(*programs: Any, nodes: tuple[int, ...] = (8,), **tables: Any) -> Machine:
    """Run programs on a small machine under full checks; at the end nothing may be left."""
    tables.setdefault("run", FULL)
    machine = small(nodes, **tables)
    before = free_pages(machine)
    for number, program in enumerate(programs):
        machine.add(program, name=f"p{number}")
    finish(machine)
    nothing_is_left(machine, before)
    return machine


def ends(status: int = 0) -> Any:
    """A program that exits at once."""

    def program(task: Any) -> Program:
        yield task.exit(status)

    return program


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.row("S3-001", "S3-003", "S3-021", "S3-081", "X-11")
def test_a_page_is_shared_until_one_of_two_writes_and_the_last_one_left_writes_in_place(profile: str) -> None:
    seen: dict[str, Any] = {}

    def child(task: Any) -> Program:
        seen["shared"] = [pte_of(machine, t, heap.start_vpn) for t in (2, 3)]
        yield task.touch(heap, write=1.0)
        seen["apart"] = [pte_of(machine, t, heap.start_vpn) for t in (2, 3)]
        seen["tags"] = [tag_of(machine, t, heap.start_vpn) for t in (2, 3)]

    def parent(task: Any) -> Program:
        nonlocal heap
        heap = yield task.mmap(16 * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.fork(child)
        yield task.wait()
        yield task.touch(heap, write=1.0)

    heap = Region(0, 0)
    machine = small((8,), run=FULL, kernel={"profile": profile})
    before = free_pages(machine)
    machine.add(parent)
    finish(machine)
    nothing_is_left(machine, before)
    parents, childs = seen["shared"]
    assert parents >> PAGE_SHIFT == childs >> PAGE_SHIFT
    assert not (parents | childs) & PTE_RW
    assert parents & PTE_ACCESSED
    assert not childs & PTE_ACCESSED
    assert childs & PTE_DIRTY
    assert seen["apart"][0] >> PAGE_SHIFT != seen["apart"][1] >> PAGE_SHIFT
    assert seen["tags"][0] != seen["tags"][1]
    count = counters(machine)
    assert count["forks"] == 1
    assert count["fork_ptes"] == 16
    # One copy per writer, and none for the last owner.
    assert count["cow_faults"] == 32
    assert count["cow_reuses"] == 16


@pytest.mark.row("S0-26", "S3-001", "X-11")
def test_threads_share_one_address_space_which_lives_as_long_as_the_last_of_them() -> None:
    seen: dict[str, Any] = {}

    def thread(task: Any) -> Program:
        yield task.touch(heap, write=1.0)
        k = machine.kernel
        seen["users"] = int(k.mms[int(k.tasks[2].mm)].mm_users)
        seen["same"] = k.tasks[2].mm == k.tasks[3].mm
        seen["written"] = tag_of(machine, 2, heap.start_vpn)
        yield task.sleep("1ms")
        seen["owner"] = int(k.mms[int(k.tasks[3].mm)].owner)
        yield task.touch(heap, write=1.0)

    def first(task: Any) -> Program:
        nonlocal heap
        heap = yield task.mmap(8 * PAGE)
        yield task.clone(thread)
        yield task.sleep("500us")

    heap = Region(0, 0)
    machine = small((8,), ("0-1",), run=FULL)
    before = free_pages(machine)
    machine.add(first)
    finish(machine)
    nothing_is_left(machine, before)
    assert seen == {"users": 2, "same": True, "written": seen["written"], "owner": 3}
    assert seen["written"] != 0
    assert counters(machine)["cow_faults"] == 0
    assert counters(machine)["anon_write_faults"] == 8


def test_a_thread_on_another_cpu_loses_its_translations_when_the_other_forks() -> None:
    def busy(task: Any) -> Program:
        yield task.touch(heap, write=1.0, accesses=20_000)

    def parent(task: Any) -> Program:
        nonlocal heap
        heap = yield task.mmap(4 * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.clone(busy)
        yield task.compute("100us")
        yield task.fork(ends())
        yield task.wait()
        yield task.wait()

    heap = Region(0, 0)
    machine = run_whole(parent, cpus=("0-1",), run={"check": "full", "record_events": 100_000})
    # The thread went on writing: it met write-protected pages, which its own TLB had to be told.
    assert counters(machine)["cow_faults"] == 4
    assert int(machine.kernel.cpus["ipis_received"].sum()) > 0


@pytest.mark.row("X-11")
def test_vfork_borrows_the_address_space_and_the_parent_sleeps_until_the_child_is_gone() -> None:
    order: list[str] = []

    def child(task: Any) -> Program:
        k = machine.kernel
        assert k.tasks[2].mm == k.tasks[3].mm
        yield task.compute("1ms")
        order.append("child")

    def parent(task: Any) -> Program:
        yield task.vfork(child)
        order.append("parent")
        assert (yield task.wait()).status == 0

    machine = small((8,), ("0-1",), run=FULL)
    machine.add(parent)
    finish(machine)
    assert order == ["child", "parent"]
    assert parts(machine)["sleep"] >= 1_000_000
    assert counters(machine)["fork_ptes"] == 0


def test_children_run_where_they_are_told_to_or_where_their_parent_may() -> None:
    """Three threads, one on each CPU, touch a third of a heap each: their pages are on their nodes."""

    def grandchild(task: Any) -> Program:
        yield task.compute(1)

    def toucher(part: int) -> Any:
        def child(task: Any) -> Program:
            yield task.touch(heap, write=1.0, offset=part * 64 * PAGE, length=64 * PAGE)
            yield task.fork(grandchild)
            yield task.wait()

        return child

    def parent(task: Any) -> Program:
        nonlocal heap
        heap = yield task.mmap(192 * PAGE)
        yield task.clone(toucher(0), "thread", [2])
        yield task.fork(toucher(1), "forked", cpus=[1])
        yield task.vfork(toucher(2), "vforked", cpus=[0, 0])
        yield task.clone(grandchild, "free")
        for _ in range(4):
            yield task.wait()

    heap = Region(0, 0)
    machine = small(nodes=(4, 4, 4), cpus=("0", "1", "2"), run=FULL)
    machine.add(parent, name="p", cpus=[1, 2])
    finish(machine)
    assert {task.name: task.allowed for task in machine.tasks} == {
        "p": (1, 2),
        "p/thread-1": (2,),
        "p/thread-1/child-1": (2,),
        "p/forked-2": (1,),
        "p/forked-2/child-1": (1,),
        "p/vforked-3": (0,),
        "p/vforked-3/child-1": (0,),
        "p/free-4": (1, 2),
    }
    spent = [parts(machine, task.index) for task in machine.tasks if task.allowed != (1, 2)]
    assert [part["remote"] for part in spent] == [0] * 6
    assert sum(part["local"] > 0 for part in spent) == 3


@pytest.mark.parametrize(("cpus", "message"), [([], "numbers of CPUs"), ([-1], "numbers"), (["0"], "numbers")])
def test_a_child_on_no_cpu_is_refused(cpus: Any, message: str) -> None:
    def parent(task: Any) -> Program:
        yield task.clone(lambda task: iter(()), cpus=cpus)

    with pytest.raises(ConfigError, match=message):
        run_whole(parent)


def test_a_child_on_a_cpu_that_is_not_there_is_refused() -> None:
    def parent(task: Any) -> Program:
        yield task.clone(lambda task: iter(()), cpus=[0, 9])

    with pytest.raises(SimulationError, match=r"task on CPUs \[0, 9\]: this machine has CPUs 0 to 0"):
        run_whole(parent)


def test_vfork_goes_on_when_the_child_execs() -> None:
    order: list[str] = []

    def later(task: Any) -> Program:
        yield task.compute("1ms")
        order.append("child")

    def child(task: Any) -> Program:
        yield task.exec(later)

    def parent(task: Any) -> Program:
        yield task.vfork(child)
        order.append("parent")
        yield task.wait()

    run_whole(parent, cpus=("0-1",))
    assert order == ["parent", "child"]


@pytest.mark.row("S3-082")
def test_fork_then_exec_copies_only_what_the_child_touched() -> None:
    def new_program(task: Any) -> Program:
        yield task.compute(1)

    def child(task: Any) -> Program:
        yield task.touch(heap, write=1.0, length=3 * PAGE)
        yield task.exec(new_program)

    def parent(task: Any) -> Program:
        nonlocal heap
        heap = yield task.mmap(256 * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.fork(child)
        yield task.wait()

    heap = Region(0, 0)
    with_cow = counters(run_whole(parent))
    assert (with_cow["cow_faults"], with_cow["fork_copies"]) == (3, 0)
    without = counters(run_whole(parent, kernel={"switches": {"copy_on_write": False}}))
    assert (without["cow_faults"], without["fork_copies"]) == (0, 256)
    assert with_cow["pgalloc"] + 250 < without["pgalloc"]


@pytest.mark.row("S0-50")
@pytest.mark.parametrize("profile", PROFILES)
def test_a_swap_slot_counts_the_processes_that_share_it(profile: str) -> None:
    counts: list[int] = []

    def uses() -> int:
        return int(machine.kernel.swap_map.max(where=machine.kernel.swap_map < 0x8000, initial=0))

    def child(task: Any) -> Program:
        counts.append(uses())
        yield task.touch(heap)

    def parent(task: Any) -> Program:
        nonlocal heap
        heap = yield task.mmap(600 * PAGE)
        yield task.touch(heap, write=1.0)
        big = yield task.mmap(1300 * PAGE)
        yield task.touch(big, write=1.0, compute="20us")  # 2.2 gives up if the disk cannot keep up
        yield task.munmap(big)
        counts.append(uses())
        yield task.fork(child)
        yield task.wait()
        yield task.touch(heap, write=1.0)

    heap = Region(0, 0)
    machine = small((8,), swap=(NVME,), run={"check": "full"}, kernel={"profile": profile})
    machine.add(parent)
    finish(machine)
    assert counts[0] in (1, 2)  # the parent's entry, and perhaps the cache
    assert counts[1] == counts[0] + 1
    assert not machine.kernel.mms.rss.any()


def test_wait_gives_the_youngest_that_has_ended_by_pid_and_status() -> None:
    got: list[Any] = []

    def parent(task: Any) -> Program:
        first = yield task.fork(ends(1), name="a")
        second = yield task.fork(ends(2), name="b")
        yield task.sleep("1ms")
        got.append((yield task.wait()) == Ended(second, 2, 0))
        got.append((yield task.wait(first)) == Ended(first, 1, 0))
        try:
            yield task.wait()
        except OSError as error:
            got.append(error.errno)

    machine = run_whole(parent)
    assert got == [True, True, errno.ECHILD]
    assert [task.name for task in machine.tasks] == ["p0", "p0/a-1", "p0/b-2"]


def test_a_child_is_a_zombie_until_waited_for_and_inits_when_its_parent_dies_first() -> None:
    states: list[int] = []

    def parent(task: Any) -> Program:
        yield task.fork(ends(7))
        yield task.sleep("1ms")
        states.append(int(machine.kernel.tasks[3].state))
        states.append(int(machine.kernel.tasks[3].parent))

    machine = small((8,), run=FULL)
    machine.add(parent)
    finish(machine)
    assert states == [TASK_ZOMBIE, 2]
    assert int(machine.kernel.tasks[3].state) == TASK_DEAD
    assert int(machine.kernel.tasks[3].parent) == 0


def test_a_killed_child_tells_its_parent_the_signal() -> None:
    got: list[Ended] = []

    def child(task: Any) -> Program:
        yield task.touch(Region(5, 1), write=1.0)

    def parent(task: Any) -> Program:
        yield task.fork(child)
        got.append((yield task.wait()))

    run_whole(parent)
    assert (got[0].status, got[0].signal) == (0, 11)


def test_fork_without_room_is_eagain_with_one_warning() -> None:
    errors: list[int | None] = []

    def parent(task: Any) -> Program:
        for _ in range(4):
            try:
                yield task.fork(ends())
                yield task.wait()
            except OSError as error:
                errors.append(error.errno)

    machine = run_whole(parent, kernel={"max_tasks": 3})
    assert errors == [errno.EAGAIN] * 2
    said = "max_tasks allows 3 tasks in a whole run, those that have ended included; raise it"
    assert len([text for text in machine.warnings if said in text]) == 1


def test_many_short_children_need_a_row_each_and_get_it() -> None:
    """One at a time is alive; with room for all none is refused, with 64 all beyond."""
    pids: list[int] = []

    def parent(task: Any) -> Program:
        for _ in range(100):
            with suppress(OSError):
                pids.append((yield task.fork(ends())))
                yield task.wait()

    machine = run_whole(parent, kernel={"max_tasks": 101}, run={})
    assert len(set(pids)) == len(pids) == 100
    assert machine.warnings == []
    assert [task.outcome for task in machine.tasks] == ["exited"] * 101
    pids.clear()
    machine = run_whole(parent, kernel={"max_tasks": 64}, run={})
    assert len(pids) == 63
    assert len(machine.warnings) == 1


def test_fork_that_fails_half_way_leaves_nothing_behind() -> None:
    """Copying at once what fills the memory, with no swap: ENOMEM, and the parent goes on as if nothing had been."""
    seen: dict[str, Any] = {}

    def parent(task: Any) -> Program:
        heap = yield task.mmap(1400 * PAGE)
        yield task.touch(heap, write=1.0)
        k = machine.kernel
        before = free_pages(machine), int(k.vm[0].mmlist_nr), int(k.mms.used.sum())
        try:
            yield task.fork(ends())
        except OSError as error:
            seen["error"] = error.errno
        seen["same"] = before == (free_pages(machine), int(k.vm[0].mmlist_nr), int(k.mms.used.sum()))

    machine = small((8,), swap=(), kernel={"oom_killer": False, "switches": {"copy_on_write": False}}, run=FULL)
    machine.add(parent)
    finish(machine)
    assert seen == {"error": errno.ENOMEM, "same": True}
    assert counters(machine)["forks"] == 0
    assert counters(machine)["fork_copies"] > 20


def test_a_child_has_its_parents_files_with_one_position() -> None:
    read: list[int] = []

    def child(task: Any) -> Program:
        read.append((yield task.read(file, 2 * PAGE)))
        yield task.close(file)

    def parent(task: Any) -> Program:
        nonlocal file
        file = yield task.open("f")
        read.append((yield task.read(file, 2 * PAGE)))
        yield task.fork(child)
        yield task.wait()
        read.append((yield task.read(file, 2 * PAGE)))

    file: Any = None
    disk = {"name": "d", "device": "nvme", "size": "1MiB"}
    run_whole_with_files(parent, disk)
    assert read == [2 * PAGE, 2 * PAGE, PAGE]


def run_whole_with_files(program: Any, disk: Any) -> Machine:
    """As `run_whole`, on a machine with a file of five pages, whose cached pages stay."""
    machine = small((8,), run=FULL, disk=[disk], file=[{"name": "f", "disk": "d", "size": "20KiB"}])
    machine.add(program)
    finish(machine)
    assert not machine.kernel.files.f_count[1:].any()
    return machine


@pytest.mark.row("S3-002", "S3-151")
def test_two_instances_of_a_program_share_its_text_and_not_its_data() -> None:
    frames: dict[str, list[int]] = {"text": [], "data": []}

    def running(task: Any) -> Program:
        regions = task.regions
        yield task.touch(regions["text"])
        yield task.touch(regions["data"], write=1.0)
        yield task.touch(regions["bss"], write=1.0)
        for name, found in frames.items():
            found.append(pte_of(machine, task.pid - 98, regions[name].start_vpn) >> PAGE_SHIFT)
        k = machine.kernel
        mm = k.mms[int(k.tasks[task.pid - 98].mm)]
        assert mm.start_code == 0x400000
        assert mm.end_code - mm.start_code == 8000
        assert mm.start_data == 0x402000
        assert mm.start_brk == mm.brk == 0x402000 + 4 * PAGE
        if len(frames["text"]) == 2:
            shared.append(int(k.pages[frames["text"][0]].count))
        yield task.sleep("10ms")

    def program(task: Any) -> Program:
        file = yield task.open("f")
        yield task.exec(running, file=file, text=8000, data=PAGE, bss=3 * PAGE, arguments=5000)

    shared: list[int] = []
    disk = {"name": "d", "device": "nvme", "size": "1MiB"}
    machine = small((8,), run=FULL, disk=[disk], file=[{"name": "f", "disk": "d", "size": "20KiB"}])
    machine.add(program, name="a")
    machine.add(program, name="b", start_ns=3_000_000)
    finish(machine)
    assert frames["text"][0] == frames["text"][1]
    assert frames["data"][0] != frames["data"][1]
    assert shared == [4]  # the cache, its buffers and two processes
    assert not machine.kernel.mms.rss.any()


def test_arguments_of_exec_take_up_to_32_pages() -> None:
    seen: list[int | None] = []

    def after(task: Any) -> Program:
        k = machine.kernel
        seen.append(int(k.mms[int(k.tasks[2].mm)].rss))
        yield task.compute(1)

    def program(task: Any) -> Program:
        try:
            yield task.exec(after, arguments=33 * PAGE)
        except OSError as error:
            seen.append(error.errno)
        yield task.exec(after, arguments=5 * PAGE)

    machine = small((8,), run=FULL)
    machine.add(program)
    finish(machine)
    assert seen == [errno.E2BIG, 5]


def test_fork_and_wait_are_logged() -> None:
    def parent(task: Any) -> Program:
        yield task.fork(ends(4))
        yield task.wait()

    machine = run_whole(parent, run={"check": "full", "record_events": 1000})
    (fork,) = recorded_events(machine.kernel, "fork")
    (wait,) = recorded_events(machine.kernel, "wait")
    assert (fork.a, wait.a, wait.b) == (3, 101, 4 << 8)


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        (lambda task: task.fork("no program"), "fork.program"),
        (lambda task: task.fork(ends(), name="a/b"), "fork.name"),
        (lambda task: task.exit(256), "exit.status"),
        (lambda task: task.wait("7"), "wait.pid"),
        (lambda task: task.exec(ends(), text=5), "exec"),
        (lambda task: task.exec(ends(), file="f", text=5), "exec.file"),
    ],
)
def test_wrong_arguments_are_refused(call: Any, wrong: str) -> None:
    def program(task: Any) -> Program:
        yield call(task)

    machine = small((8,))
    machine.add(program)
    with pytest.raises(ConfigError, match=wrong):
        machine.run_to_end()


@pytest.mark.row("X-11")
def test_out_of_memory_kills_all_who_share_the_victims_memory() -> None:
    def thread(task: Any) -> Program:
        yield task.sleep("100s")

    def greedy(task: Any) -> Program:
        yield task.clone(thread)
        yield task.clone(thread)
        heap = yield task.mmap(4000 * PAGE)
        while True:
            yield task.touch(heap, write=1.0)

    def modest(task: Any) -> Program:
        heap = yield task.mmap(10 * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.sleep("20s")

    machine = small((8,), ("0-1",), swap=(), run={"check": "cheap"})
    before = free_pages(machine)
    machine.add(greedy, name="greedy")
    machine.add(modest, name="modest")
    finish(machine)
    nothing_is_left(machine, before)
    outcomes = {task.name: task.outcome for task in machine.tasks}
    assert outcomes == dict.fromkeys(("greedy", "greedy/thread-1", "greedy/thread-2"), "out of memory") | {
        "modest": "exited"
    }
