"""Programs that read, write and map files on a whole machine: counters, times, daemons, contents."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from machine.small import MIB_PAGES, PAGE, counters, finish, parts, small

from numa_sim.errors import ConfigError, SimulationError
from numa_sim.kernel.inode import extents_of
from numa_sim.processes.machine import Machine
from numa_sim.state.event_codes import EV_FILE_READ, EV_FILE_WRITE
from numa_sim.workloads.patterns import uniform, zipf

NVME_DISK = {"name": "nvme0n1", "device": "nvme", "size": "1GiB"}
HDD = {"name": "sda", "device": "hdd", "size": "1GiB"}


def machine_with(
    *files: dict[str, Any], disk: dict[str, Any] = NVME_DISK, mib: int = 4, events: int = 1 << 16, **tables: Any
) -> Machine:
    tables.setdefault("swap", ())
    tables.setdefault("run", {"record_events": events, "check": "cheap"})
    return small(nodes=(mib,), disk=[disk], file=[{"disk": disk["name"], **file} for file in files], **tables)


def run(machine: Machine, *programs: Any) -> list[Any]:
    """Run programs to the end; what each returned."""
    answers: list[Any] = [None] * len(programs)

    def keeping(i: int, program: Any) -> Any:
        def wrapped(task: Any) -> Any:
            answers[i] = yield from program(task)

        return wrapped

    for i, program in enumerate(programs):
        machine.add(keeping(i, program), name=f"task{i}")
    assert finish(machine).exit_state == "ok"
    return answers


def tags(machine: Machine, code: int = EV_FILE_READ) -> list[tuple[int, int]]:
    """(page index, contents) of every page read (or written), in order."""
    used = machine.kernel.events[: machine.vm.events_used]
    return [(int(e.a) & 0xFFFFFFFF, int(e.b)) for e in used if e.code == code]


def of_file(number: int, index: int) -> int:
    """What `make_files` puts into page `index` of a file."""
    return (number + 1) << 32 | index


def test_a_sequential_read_reads_every_page_once_and_ahead() -> None:
    machine = machine_with({"name": "data", "size": "1MiB"})

    def program(task: Any) -> Any:
        fd = yield task.open("data")
        return (yield task.read(fd, "4KiB")), (yield task.read(fd, "2MiB"))

    assert run(machine, program) == [(4096, (1 << 20) - 4096)]
    assert tags(machine) == [(i, of_file(0, i)) for i in range(256)]
    count = counters(machine)
    assert count["pgpgin"] == 1024
    assert count["readahead_pages"] > 200
    assert machine.kernel.disks[0].sectors_read == 256 * 8
    assert 0 < machine.kernel.disks[0].reads < 128
    assert parts(machine)["file_wait"] > 0 < parts(machine)["file_syscall"]


@pytest.mark.row("S1-37")
def test_a_second_read_is_served_from_the_page_cache() -> None:
    machine = machine_with({"name": "data", "size": "1MiB"})

    def program(task: Any) -> Any:
        fd = yield task.open("data")
        yield task.read(fd, "1MiB")
        yield task.read(fd, "1MiB", offset=0)

    run(machine, program)
    count = counters(machine)
    assert count["pgpgin"] == 1024
    assert count["pagecache_hit"] >= 256


@pytest.mark.row("X-08")
def test_without_read_ahead_each_page_is_a_request() -> None:
    def program(task: Any) -> Any:
        fd = yield task.open("data")
        yield task.read(fd, "1MiB")

    on, off = (
        machine_with({"name": "data", "size": "1MiB"}, kernel={"switches": {"file_readahead": value}})
        for value in (True, False)
    )
    run(on, program)
    run(off, program)
    assert counters(off)["readahead_pages"] == 0 < counters(on)["readahead_pages"]
    assert off.kernel.disks[0].reads == 256 > on.kernel.disks[0].reads
    assert off.now_ns > 2 * on.now_ns


def test_record_reads_follow_a_pattern() -> None:
    machine = machine_with({"name": "data", "size": "1MiB"})

    def program(task: Any) -> Any:
        fd = yield task.open("data")
        return (yield task.read(fd, "16KiB", pattern=zipf(1.2), count=100))

    assert run(machine, program) == [100 * 16384]
    read = tags(machine)
    assert len(read) == 400
    assert all(tag == of_file(0, index) for index, tag in read)
    assert 4 < len({index for index, _ in read}) < 256


def test_written_data_reaches_the_disk_with_fsync_and_only_then() -> None:
    machine = machine_with({"name": "data", "size": "256KiB", "room": "256KiB"})
    on_disk: list[int] = []

    def program(task: Any) -> Any:
        fd = yield task.open("data")
        yield task.write(fd, "512KiB")
        on_disk.append(machine.block.queues[0].sectors_written)
        yield task.fsync(fd)
        on_disk.append(machine.block.queues[0].sectors_written)
        yield task.close(fd)

    run(machine, program)
    assert on_disk == [0, 128 * 8]
    mapping = machine.file_mappings["data"]
    assert machine.kernel.mappings[mapping].i_size == 512 << 10
    (index, length, block), *rest = extents_of(machine.kernel, mapping)
    assert (index, length, rest) == (0, 128, [])
    assert machine.kernel.disk_tags[block : block + 128].tolist() == [tag for _, tag in tags(machine, EV_FILE_WRITE)]
    assert counters(machine)["fsync_writes"] == 128


@pytest.mark.row("X-07")
def test_bdflush_writes_when_much_is_dirty_and_kupdate_what_is_old() -> None:
    def program(task: Any) -> Any:
        fd = yield task.open("data")
        yield task.write(fd, "2MiB")
        yield task.sleep("60s")

    quick = {"bdflush": {"interval": "1s", "age_buffer": "5s"}}
    both = machine_with({"name": "data", "size": "2MiB"}, kernel=quick)
    run(both, program)
    assert counters(both)["bdflush_wakeup"] > 0 < counters(both)["bdflush_writes"]
    no_bdflush = machine_with({"name": "data", "size": "2MiB"}, kernel={**quick, "switches": {"bdflush": False}})
    run(no_bdflush, program)
    assert counters(no_bdflush)["bdflush_wakeup"] == counters(no_bdflush)["bdflush_writes"] == 0
    assert counters(no_bdflush)["kupdate_writes"] > counters(both)["kupdate_writes"]
    neither = machine_with(
        {"name": "data", "size": "1MiB"}, kernel={**quick, "switches": {"bdflush": False, "kupdate": False}}, mib=16
    )

    def less(task: Any) -> Any:
        fd = yield task.open("data")
        yield task.write(fd, "1MiB")
        yield task.sleep("60s")

    run(neither, less)
    assert neither.kernel.disks[0].sectors_written == 0


@pytest.mark.row("S3-150")
def test_a_mapped_file_is_read_by_faults_and_written_by_msync() -> None:
    machine = machine_with({"name": "data", "size": "512KiB"})

    def program(task: Any) -> Any:
        fd = yield task.open("data")
        region = yield task.mmap(file=fd, shared=True)
        yield task.close(fd)
        yield task.touch(region)
        yield task.touch(region, write=1.0, length="64KiB")
        yield task.msync(region)

    run(machine, program)
    count = counters(machine)
    assert count["file_faults"] >= 128
    assert count["pgmajfault"] > 0
    assert machine.kernel.disks[0].sectors_read == 128 * 8
    assert machine.kernel.disks[0].sectors_written == 16 * 8
    assert parts(machine)["file_wait"] > 0 == parts(machine)["swap_wait"]


@pytest.mark.parametrize(("access", "allowed"), [("read", "rR"), ("write", "wt"), ("read-write", "rwtRW")])
def test_a_file_is_used_as_it_was_opened(access: str, allowed: str) -> None:
    """read and write: EBADF; truncate: EINVAL; a mapping: EACCES, also when mprotect would make it more."""
    machine = machine_with({"name": "data", "size": "64KiB"})

    def program(task: Any) -> Any:
        fd = yield task.open("data", access)
        refused = {}
        calls = {
            "r": lambda: task.read(fd, "4KiB", offset=0),
            "w": lambda: task.write(fd, "4KiB", offset=0),
            "t": lambda: task.truncate(fd, "64KiB"),
            "R": lambda: task.mmap(file=fd, shared=True, prot="r--"),
            "W": lambda: task.mmap(file=fd, shared=True),
        }
        for name, call in calls.items():
            try:
                yield call()
            except OSError as error:
                refused[name] = error.errno
        errors = {"r": errno.EBADF, "w": errno.EBADF, "t": errno.EINVAL, "R": errno.EACCES, "W": errno.EACCES}
        assert refused == {name: error for name, error in errors.items() if name not in allowed}
        if access == "read":
            shown = yield task.mmap(file=fd, shared=True, prot="r--")
            with pytest.raises(OSError, match="mprotect"):
                yield task.mprotect(shown, "rw-")
            own = yield task.mmap(file=fd)
            yield task.touch(own, write=1.0)

    run(machine, program)
    assert machine.kernel.disks[0].sectors_written == 0 or access != "read"


def test_stores_to_a_private_mapping_never_reach_the_file() -> None:
    machine = machine_with({"name": "data", "size": "64KiB"})

    def program(task: Any) -> Any:
        fd = yield task.open("data")
        region = yield task.mmap(file=fd)
        yield task.touch(region, write=1.0)
        yield task.msync(region)
        yield task.munmap(region)
        yield task.read(fd, "64KiB")

    run(machine, program)
    assert machine.kernel.disks[0].sectors_written == 0
    assert tags(machine) == [(i, of_file(0, i)) for i in range(16)]


def test_advice_changes_what_faults_read() -> None:
    def reads(advice: str) -> int:
        machine = machine_with({"name": "data", "size": "1MiB"})

        def program(task: Any) -> Any:
            fd = yield task.open("data")
            region = yield task.mmap(file=fd)
            yield task.madvise(region, advice)
            yield task.touch(region, uniform(), accesses=20)

        run(machine, program)
        return int(machine.kernel.disks[0].sectors_read) // 8

    assert reads("random") <= 20 < reads("normal")


def test_truncate_and_beyond() -> None:
    machine = machine_with({"name": "data", "size": "64KiB"})

    def program(task: Any) -> Any:
        fd = yield task.open("data")
        yield task.truncate(fd, 10_000)
        short = yield task.read(fd, "64KiB")
        region = yield task.mmap("64KiB", file=fd)
        yield task.touch(region, length="8KiB")
        return short

    assert run(machine, program) == [10_000]

    def too_far(task: Any) -> Any:
        fd = yield task.open("data")
        region = yield task.mmap("128KiB", file=fd)
        yield task.touch(region)

    machine = machine_with({"name": "data", "size": "64KiB"})
    machine.add(too_far)
    result = finish(machine)
    assert machine.tasks[0].outcome == "bus error"
    assert "SIGBUS" in result.warnings[0]


def test_a_full_disk_is_an_error_the_program_can_catch() -> None:
    disk = {"name": "tiny", "device": "nvme", "size": "1MiB"}

    def careful(task: Any) -> Any:
        fd = yield task.open("data")
        try:
            yield task.write(fd, "4KiB", offset="900KiB")
            yield task.write(fd, "2MiB", offset="904KiB")
            yield task.write(fd, "4KiB", offset="4MiB")
        except OSError as error:
            return error.strerror
        return None

    assert run(machine_with({"name": "data", "size": "512KiB"}, disk=disk), careful) == ["No space left on device"]

    def careless(task: Any) -> Any:
        fd = yield task.open("data")
        yield task.write(fd, "512KiB", offset="512KiB")
        yield task.write(fd, "4KiB", offset="4MiB")

    machine = machine_with({"name": "data", "size": "512KiB"}, disk=disk)
    machine.add(careless)
    with pytest.raises(SimulationError, match="task careless: No space left on device"):
        machine.run_to_end()


def test_mistakes_are_named() -> None:
    machine = machine_with({"name": "data", "size": "64KiB"})

    def program(task: Any) -> Any:
        with pytest.raises(ConfigError, match=r"read\.size"):
            task.read((yield task.open("data")), "1MiB", pattern=uniform())
        with pytest.raises(ConfigError, match="madvise"):
            task.madvise((yield task.mmap("4KiB")), "sometimes")
        with pytest.raises(ConfigError, match=r"what yield task\.open"):
            task.read("data", 5)
        yield task.open("dada")

    machine.add(program)
    with pytest.raises(SimulationError, match=r"open of .dada. failed .*files are: data"):
        machine.run_to_end()


def test_fragments_and_holes_lie_where_they_should() -> None:
    machine = machine_with(
        {"name": "first", "size": "64KiB"},
        {"name": "data", "size": "256KiB", "fragments": 5, "holes": [{"offset": "16KiB", "length": "32KiB"}]},
        disk={**HDD, "bandwidth": "5MB/s"},  # a seek is quicker than waiting for what is a few blocks ahead
    )

    def program(task: Any) -> Any:
        fd = yield task.open("data")
        yield task.read(fd, "256KiB")

    run(machine, program)
    extents = extents_of(machine.kernel, machine.file_mappings["data"])
    covered = sorted(page for index, length, _ in extents for page in range(index, index + length))
    assert covered == [*range(4), *range(12, 64)]
    blocks = sorted(at for _, length, block in extents for at in range(block, block + length))
    assert blocks == list(range(16, 16 + 56))
    assert tags(machine) == [(i, 0 if 4 <= i < 12 else of_file(1, i)) for i in range(64)]
    assert machine.kernel.disks[0].seeks >= 4


def test_reads_under_memory_pressure_and_writes_lose_nothing() -> None:
    """Three tasks on a machine of 4 MiB: one reads 8 MiB of file, one writes 6 MiB and reads it back, one swaps."""
    machine = machine_with(
        {"name": "in", "size": "8MiB"}, {"name": "out", "size": "0B", "room": "6MiB"},
        swap=({"device": "partition", "disk": "nvme0n1", "size": "32MiB"},), events=1 << 18,
    )  # fmt: skip

    def reader(task: Any) -> Any:
        fd = yield task.open("in")
        for _ in range(2):
            yield task.read(fd, "8MiB", offset=0)

    def writer(task: Any) -> Any:
        fd = yield task.open("out")
        yield task.write(fd, "6MiB")
        return (yield task.read(fd, "8MiB", offset=0))

    def swapper(task: Any) -> Any:
        heap = yield task.mmap(5 * MIB_PAGES * PAGE)
        for _ in range(3):
            yield task.touch(heap, write=1.0)

    assert run(machine, reader, writer, swapper)[1] == 6 << 20
    assert machine.vm.event_count == machine.vm.events_used
    used = machine.kernel.events[: machine.vm.events_used]
    out = machine.file_mappings["out"]
    written: dict[int, int] = {}
    for e in used:
        mapping, index = int(e.a) >> 32, int(e.a) & 0xFFFFFFFF
        if e.code == EV_FILE_WRITE:
            written[index] = int(e.b)
        elif e.code == EV_FILE_READ:
            assert e.b == (written[index] if mapping == out else of_file(0, index))
    count = counters(machine)
    assert count["pswpout"] > 0 < count["pgpgout"]
    assert count["pgsteal_kswapd"] + count["pgsteal_direct"] > 2048
