"""Programs and their address spaces: heap, protections, locked memory, resized areas, shared memory, limits."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from machine.small import MIB_PAGES, PAGE, counters, finish, small

from numa_sim.config import Config
from numa_sim.errors import SimulationError
from numa_sim.observe.hashes import event_hash
from numa_sim.processes.machine import Machine
from numa_sim.state.answers import EINVAL, ENOMEM
from numa_sim.state.constants import NIL, PAGE_SHIFT
from numa_sim.workloads.malloc import THRESHOLD_BYTES, Malloc
from numa_sim.workloads.patterns import from_arrays

MIB = 1 << 20


def run(program: Any, root: bool = False, **tables: Any) -> Any:
    """A finished machine of 4 MiB (or as the tables say) that ran `program`."""
    machine = small(**tables)
    machine.add(program, name="mine", root=root)
    finish(machine)
    machine.check()
    return machine


@pytest.mark.row("S3-172", "S3-174", "S3-176", "S3-177")
def test_the_heap_grows_and_shrinks_and_says_where_it_ends() -> None:
    seen: dict[str, Any] = {}

    def program(task: Any) -> Any:
        start = yield task.sbrk()
        seen["grown"] = (yield task.sbrk("1MiB")) - start
        seen["rounded"] = (yield task.sbrk(100)) - start
        seen["shrunk"] = (yield task.sbrk(-MIB)) - start
        try:
            yield task.brk(1)  # below the end of the code
        except OSError as error:
            seen["errno"] = error.errno
        seen["end"] = (yield task.sbrk()) - start

    machine = run(program)
    assert seen == {"grown": MIB, "rounded": MIB + 100, "shrunk": 100, "errno": ENOMEM, "end": 100}
    assert any("brk failed" in warning for warning in machine.warnings)


@pytest.mark.row("S3-174", "S3-175")
def test_malloc_takes_the_heap_for_small_blocks_and_mappings_for_large_ones() -> None:
    machine = small()
    sizes: list[tuple[int, int]] = []

    def note() -> None:
        mm = machine.kernel.mms[machine.kernel.tasks[2].mm]
        sizes.append((int(mm.brk - mm.start_brk), int(mm.map_count)))

    def program(task: Any) -> Any:
        heap = Malloc(task)
        note()
        large = yield from heap.malloc(THRESHOLD_BYTES)
        note()
        blocks = []
        for _ in range(20):
            blocks.append((yield from heap.malloc(THRESHOLD_BYTES // 2)))
        note()
        assert all(b - a == THRESHOLD_BYTES // 2 for a, b in pairwise(blocks)), "one behind the other"
        yield from heap.free(large)
        for block in blocks:
            yield from heap.free(block)
        note()

    machine.add(program, name="mine")
    finish(machine)
    (start, areas), (mapped, more), (grown, most), (left, least) = sizes
    assert (start, mapped) == (0, 0)
    assert (more, most, least) == (areas + 1, areas + 2, areas + 1)
    assert grown >= 10 * THRESHOLD_BYTES, "small blocks raise the end of the heap"
    assert left < 2 * THRESHOLD_BYTES, "and free lowers it"


@pytest.mark.row("X-10", "S3-177")
def test_a_data_limit_stops_the_heap() -> None:
    got: list[int] = []

    def program(task: Any) -> Any:
        yield task.setrlimit("data", "64KiB")
        yield task.sbrk("32KiB")
        try:
            yield task.sbrk("64KiB")
        except OSError as error:
            got.append(error.errno or 0)

    run(program)
    assert got == [ENOMEM]


@pytest.mark.row("S3-052", "S3-053")
def test_memory_made_read_only_is_an_area_of_its_own_and_refuses_stores() -> None:
    seen: dict[str, int] = {}
    machine = small()

    def program(task: Any) -> Any:
        heap = yield task.mmap(8 * PAGE)
        yield task.touch(heap, write=1.0)
        before = int(machine.kernel.mms[machine.kernel.tasks[2].mm].map_count)
        yield task.mprotect(heap, "r--", offset=2 * PAGE, length=2 * PAGE)
        mm = machine.kernel.mms[machine.kernel.tasks[2].mm]
        seen["areas"], seen["rss"] = int(mm.map_count) - before, int(mm.rss)
        yield task.touch(heap, write=0.0)
        yield task.touch(heap, from_arrays(np.array([3]), writes=1))

    machine.add(program, name="mine")
    finish(machine)
    assert seen == {"areas": 2, "rss": 8}
    assert counters(machine)["vma_splits"] == 2
    assert machine.tasks[0].outcome != "exited", "the store killed it"


@pytest.mark.parametrize(
    ("profile", "merges", "shapes"),
    [
        ("linux-2.2", True, [[8], [2, 2, 4], [4, 4], [8], [4, 4]]),
        ("linux-2.4.0", True, [[8], [2, 2, 4], [2, 2, 4], [2, 2, 4], [2, 2, 4]]),
        ("linux-2.4.22", True, [[8], [2, 2, 4], [4, 4], [8], [4, 4]]),
        ("linux-2.4.37", True, [[8], [2, 2, 4], [4, 4], [8], [4, 4]]),
        ("linux-2.4.37", False, [[8], [2, 2, 4], [2, 2, 4], [2, 2, 4], [2, 2, 4]]),
    ],
)
def test_areas_that_mprotect_makes_alike_merge_as_in_their_kernel(
    profile: str, merges: bool, shapes: list[list[int]]
) -> None:
    """2.4.0 never merges them; 2.2 and late 2.4 do, forwards and backwards, unless that is switched off."""
    machine = small(kernel={"profile": profile, "switches": {"vma_merge": merges}})
    k = machine.kernel
    seen: list[list[int]] = []

    def program(task: Any) -> Any:
        def note() -> None:
            area, sizes = int(k.mms[k.tasks[2].mm].mmap), []
            while area != NIL:
                vma = k.vmas[area]
                if heap.start_vpn <= vma.vm_start < heap.end_vpn:
                    sizes.append(int(vma.vm_end - vma.vm_start))
                area = int(vma.vm_next)
            seen.append(sizes)

        heap = yield task.mmap(8 * PAGE)
        yield task.touch(heap, write=1.0)
        note()
        for prot, first, pages in (("r--", 2, 2), ("r--", 0, 2), ("r--", 4, 4), ("rw-", 0, 4)):
            yield task.mprotect(heap, prot, offset=first * PAGE, length=pages * PAGE)
            note()
        yield task.touch(heap, write=0.0)

    machine.add(program, name="mine")
    finish(machine)
    machine.check()
    assert seen == shapes
    assert (counters(machine)["vma_merges"] > 0) is (merges and profile != "linux-2.4.0")


def test_memory_of_no_access_is_still_there_afterwards() -> None:
    """PROT_NONE and back: the pages keep their frames and contents."""
    machine = small()
    frames: list[list[int]] = []

    def program(task: Any) -> Any:
        heap = yield task.mmap(4 * PAGE)
        yield task.touch(heap, write=1.0)
        faults = int(machine.kernel.tasks[2].min_flt)
        yield task.mprotect(heap, "---")
        yield task.mprotect(heap, "rw-")
        yield task.touch(heap, write=0.0)
        frames.append([faults, int(machine.kernel.tasks[2].min_flt)])

    machine.add(program, name="mine")
    finish(machine)
    machine.check()
    assert frames[0][0] == frames[0][1], "reading them needs no fault"


def locked(root: bool, lock: bool = True) -> Any:
    def program(task: Any) -> Any:
        kept = yield task.mmap(64 * PAGE)
        try:
            if lock:
                yield task.mlock(kept)
            else:
                yield task.touch(kept, write=1.0)
        except PermissionError:
            return
        heap = yield task.mmap(6 * MIB_PAGES * PAGE)
        yield task.touch(heap, write=1.0)
        faults = int(machine.kernel.tasks[2].maj_flt)
        yield task.touch(kept, write=1.0)
        result.append(int(machine.kernel.tasks[2].maj_flt) - faults)

    result: list[int] = []
    machine = small()
    machine.add(program, name="mine", root=root)
    finish(machine)
    return machine, result


def test_locked_memory_is_made_present_and_stays() -> None:
    machine, faults = locked(root=True)
    assert faults == [0]
    _, faults = locked(root=True, lock=False)
    assert faults[0] > 0, "what is not locked was swapped out"
    machine, faults = locked(root=False)
    assert faults == []
    assert any("mlock failed" in warning for warning in machine.warnings)


@pytest.mark.row("X-10")
def test_a_memlock_limit_refuses() -> None:
    got: list[int] = []

    def program(task: Any) -> Any:
        yield task.setrlimit("memlock", "64KiB")
        heap = yield task.mmap(32 * PAGE)
        yield task.mlock(heap, length=16 * PAGE)
        try:
            yield task.mlock(heap)
        except OSError as error:
            got.append(error.errno or 0)
        yield task.munmap(heap)
        yield task.mlockall(current=False, future=True)
        yield task.munlockall()

    run(program, root=True)
    assert got == [ENOMEM]


def test_a_moved_area_keeps_its_pages() -> None:
    tags: list[list[int]] = []

    def program(task: Any) -> Any:
        heap = yield task.mmap(8 * PAGE)
        wall = yield task.mmap(PAGE, at=heap.end_vpn << PAGE_SHIFT, prot="r--")
        yield task.touch(heap, write=1.0)
        rss = int(machine.kernel.mms[machine.kernel.tasks[2].mm].rss)
        try:
            yield task.mremap(heap, 16 * PAGE, may_move=False)
        except OSError as error:
            tags.append([error.errno or 0])
        moved = yield task.mremap(heap, 16 * PAGE)
        assert moved.start_vpn != heap.start_vpn
        faults = int(machine.kernel.tasks[2].min_flt)
        yield task.touch(moved, length=8 * PAGE)
        tags.append([rss, int(machine.kernel.tasks[2].min_flt) - faults])
        yield task.mremap(moved, 4 * PAGE)
        tags.append([int(machine.kernel.mms[machine.kernel.tasks[2].mm].rss)])
        yield task.munmap(wall)

    machine = small()
    machine.add(program, name="mine")
    finish(machine)
    machine.check()
    assert tags == [[ENOMEM], [8, 0], [4]]


def test_a_page_read_after_a_fork_is_still_copied_before_it_is_written() -> None:
    """Its entry is dirty but read-only: the TLB that has it may not let a store pass."""

    def child(task: Any) -> Any:
        yield task.sleep("1ms")

    def program(task: Any) -> Any:
        heap = yield task.mmap(16 * PAGE)
        yield task.touch(heap, write=1.0)
        yield task.fork(child, "child")
        yield task.touch(heap, write=0.0)
        yield task.touch(heap, write=1.0)
        yield task.wait()

    assert counters(run(program))["cow_faults"] >= 16


@pytest.mark.row("S3-060", "S3-154")
def test_anonymous_shared_memory_is_seen_by_a_child_and_gone_with_the_last_user() -> None:
    machine = small()
    rss: list[int] = []

    def child(task: Any) -> Any:
        yield task.touch(shared[0], write=0.0)
        rss.append(int(machine.kernel.vm[0].page_cache_size))

    shared: list[Any] = []

    def program(task: Any) -> Any:
        shared.append((yield task.mmap(8 * PAGE, shared=True)))
        yield task.touch(shared[0], write=1.0)
        rss.append(int(machine.kernel.vm[0].page_cache_size))
        yield task.fork(child, "child")
        yield task.wait()

    machine.add(program, name="mine")
    finish(machine)
    machine.check()
    assert rss[0] == rss[1] > 0, "the child met the same pages"
    assert machine.kernel.vm[0].page_cache_size == 0
    assert counters(machine)["cow_faults"] == 0


def test_linux_2_2_has_no_anonymous_shared_memory() -> None:
    def program(task: Any) -> Any:
        yield task.mmap(PAGE, shared=True)

    with pytest.raises(SimulationError, match=f"errno {EINVAL}"):
        run(program, arch="i386", kernel={"profile": "linux-2.2"})


@pytest.mark.row("S3-177")
def test_more_than_there_is_is_refused_unless_overcommitted_or_unreserved() -> None:
    def program(**how: Any) -> Any:
        def body(task: Any) -> Any:
            yield task.mmap("1GiB", **how)

        return body

    careful = {"sysctl": {"vm.overcommit_memory": 0}}
    with pytest.raises(SimulationError, match=f"errno {ENOMEM}"):
        run(program(), kernel=careful)
    run(program(reserve=False), kernel=careful)
    run(program(prot="r--"), kernel=careful)
    run(program())


@pytest.mark.row("X-10")
def test_an_address_space_limit_refuses() -> None:
    def program(task: Any) -> Any:
        yield task.setrlimit("as", "1MiB")
        yield task.mmap("2MiB")

    with pytest.raises(SimulationError, match=f"errno {ENOMEM}"):
        run(program)


def test_a_program_of_a_file_that_gets_no_memory_exits_and_the_others_go_on() -> None:
    """What a program that checks for MAP_FAILED does; the run is whole, and the warning names the operation."""
    touch = {"op": "touch", "on": "heap", "pattern": {"kind": "sequential"}, "accesses": 4, "write": 1.0}
    small_map = {"op": "mmap", "as": "heap", "size": "1MiB"}
    large_map = {"op": "mmap", "as": "more", "size": "2MiB"}
    in_loop = {"op": "repeat", "times": 2, "program": [large_map, {"op": "munmap", "on": "more"}]}
    greedy = {"name": "greedy", "limits": {"as": "1MiB"}, "program": [{"op": "sleep", "for": "1us"}, in_loop]}
    document = {
        "machine": {"nodes": [{"memory": "4MiB", "cpus": "0"}], "distances": [[10]]},
        "workload": [greedy, {"name": "other", "program": [small_map, touch]}],
    }
    machine = Machine(Config.of(**document))
    finish(machine)
    machine.check()
    assert [task.record.exit_code >> 8 for task in machine.tasks] == [1, 0]
    assert machine.tasks[1].record.accesses_done == 4
    last = "task greedy exits with status 1: workload.0.program.1.program.0: mmap refused (Cannot allocate memory)"
    assert [last in warning for warning in machine.warnings] == [False, True]


@pytest.mark.row("S3-161")
def test_the_number_of_areas_is_limited() -> None:
    made: list[int] = []
    errors: list[int] = []

    def program(task: Any) -> Any:
        for i in range(100):
            try:
                yield task.mmap(PAGE, prot="r--" if i % 2 else "rw-")
            except OSError as error:
                errors.append(error.errno or 0)
                return
            made.append(i)

    run(program, kernel={"sysctl": {"vm.max_map_count": 20}})
    assert errors == [ENOMEM]
    assert len(made) == 20 - 1 + 1, "one more than the limit, as the check is for more than it; one is the stack"


def pieces(n: int) -> Any:
    """A program with `n` areas, every second page of a range."""

    def program(task: Any) -> Any:
        heap = yield task.mmap(2 * n * PAGE)
        for i in range(n):
            yield task.munmap(heap, offset=2 * i * PAGE, length=PAGE)
        visits = np.random.default_rng(7).integers(0, n, 400) * 2 + 1
        yield task.touch(heap, from_arrays(visits, writes=1))

    return program


@pytest.mark.row("S0-24", "S4-09", "S3-067", "S4-08", "S3-065", "S3-068", "S3-056")
def test_the_index_decides_the_steps_and_nothing_else() -> None:
    found = {}
    for index in ("list", "avl", "rbtree", "vmacache"):
        machine = run(pieces(300), kernel={"vma_index": index}, costs={"find_vma_step": "0ns"})
        found[index] = (event_hash(machine.kernel), counters(machine))
    hashes = {event for event, _ in found.values()}
    assert len(hashes) == 1, "the same run"
    steps = {index: counted["find_vma_steps"] for index, (_, counted) in found.items()}
    assert steps["list"] > 5 * steps["rbtree"] > 0
    assert steps["list"] > 5 * steps["avl"] > 0
    assert found["rbtree"][1]["vmacache_find_misses"] == 0 < found["vmacache"][1]["vmacache_find_misses"]
    assert found["vmacache"][1]["mmap_cache_miss"] == 0 < found["rbtree"][1]["mmap_cache_miss"]


@pytest.mark.row("S4-08")
def test_a_cache_of_four_areas_helps_who_goes_to_and_fro_between_two() -> None:
    def program(task: Any) -> Any:
        one = yield task.mmap(64 * PAGE)
        two = yield task.mmap(64 * PAGE, at=(one.start_vpn << PAGE_SHIFT) + 2 * MIB)
        both = type(one)(one.start_vpn, two.end_vpn - one.start_vpn)
        there_and_back = np.stack([np.arange(64), np.arange(64) + two.start_vpn - one.start_vpn], axis=1).ravel()
        yield task.touch(both, from_arrays(there_and_back, writes=1))

    one, four = (counters(run(program, kernel={"vma_index": index})) for index in ("rbtree", "vmacache"))
    assert one["mmap_cache_miss"] >= 128
    assert four["vmacache_find_hits"] >= 126
    assert four["find_vma_steps"] < one["find_vma_steps"] // 4


@pytest.mark.row("S3-065")
def test_locality_decides_how_often_the_cache_of_find_vma_hits() -> None:
    shares = []
    for visits in (np.repeat(np.arange(64), 4), np.random.default_rng(3).permutation(np.repeat(np.arange(64), 4))):

        def program(task: Any, visits: Any = visits) -> Any:
            regions = []
            for i in range(4):
                regions.append((yield task.mmap(64 * PAGE, prot="rw-" if i % 2 else "rwx")))
            whole = type(regions[0])(regions[0].start_vpn, 256)
            yield task.touch(whole, from_arrays(visits * 4 % 256 + visits // 16, writes=1))

        counted = counters(run(program))
        shares.append(counted["mmap_cache_hit"] / (counted["mmap_cache_hit"] + counted["mmap_cache_miss"]))
    assert shares[0] > shares[1]


@pytest.mark.row("S3-162")
def test_merging_can_be_switched_off() -> None:
    def program(task: Any) -> Any:
        for _ in range(10):
            yield task.mmap(PAGE)
        areas.append(int(machine.kernel.mms[machine.kernel.tasks[2].mm].map_count))

    areas: list[int] = []
    for on in (True, False):
        machine = small(kernel={"switches": {"vma_merge": on}})
        machine.add(program, name="mine")
        finish(machine)
        assert (counters(machine)["vma_merges"] > 0) is on
    assert areas == [2, 11], "one area and the stack, or ten"
