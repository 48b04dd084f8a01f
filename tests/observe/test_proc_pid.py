"""/proc/PID of a running machine: the kernel's layouts, and numbers that agree with the state and with each other."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from machine.small import MIB_PAGES, PAGE, ZRAM, finish, small
from observe.page_scan import scanned

from numa_sim.errors import SimulationError
from numa_sim.observe import proc_pid, user_pages
from numa_sim.observe.hashes import event_hash
from numa_sim.processes.machine import Machine

DISK = {"name": "sda", "device": "nvme", "size": "64MiB"}
SMAPS_NAMES = (
    "Size", "KernelPageSize", "MMUPageSize", "Rss", "Pss", "Pss_Dirty", "Shared_Clean", "Shared_Dirty", "Private_Clean",
    "Private_Dirty", "Referenced", "Anonymous", "LazyFree", "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped",
    "Shared_Hugetlb", "Private_Hugetlb", "Swap", "SwapPss", "Locked",
)  # fmt: skip
MAPS_LINE = re.compile(
    r"[0-9a-f]{8,}-[0-9a-f]{8,} [r-][w-][x-][sp] [0-9a-f]{8} [0-9a-f]{2}:[0-9a-f]{2} \d+ ( *[\[/].*)?"
)
NUMA_MAPS_LINE = re.compile(
    r"[0-9a-f]{8,} default( file=\S+| heap| stack)?"
    r"(( anon=\d+)?( dirty=\d+)?( mapped=\d+)?( mapmax=\d+)?( swapcache=\d+)?( active=\d+)?"
    r"( writeback=\d+)?( N\d+=\d+)+ kernelpagesize_kB=4)?"
)


def program(task: Any) -> Any:
    heap = yield task.mmap(2 * MIB_PAGES * PAGE)
    file = yield task.open("lib.so")
    code = yield task.mmap(64 * PAGE, file=file, shared=True)
    data = yield task.mmap(16 * PAGE, file=file, offset=64 * PAGE)
    yield task.touch(code, write=0.25)
    yield task.touch(data, write=1.0)
    yield task.touch(heap, write=1.0)
    yield task.touch(code)
    yield task.sleep("1s")


@pytest.fixture(scope="module")
def machine() -> Machine:
    """Two processes that share a file, on two nodes so small that part of their memory is in swap."""
    made = small(
        nodes=(5, 4), swap=(ZRAM,), disk=[DISK], file=[{"name": "lib.so", "size": "1MiB", "disk": "sda"}],
        run={"snapshot": "400ms"}, kernel={"numa_fallback": "nearest"},
    )  # fmt: skip
    for name in ("db", "web", "batch"):
        made.add(program, name=name)
    made.run_until(500_000_000)
    return made


def rows(text: str) -> list[dict[str, int]]:
    """The kB lines of smaps, one dict per area."""
    found: list[dict[str, int]] = []
    for line in text.splitlines():
        if MAPS_LINE.fullmatch(line):
            found.append({})
        elif match := re.fullmatch(r"(\w+): +(\d+) kB", line):
            found[-1][match[1]] = int(match[2])
    return found


def test_maps_has_the_kernels_columns(machine: Machine) -> None:
    lines = machine.procfs("db/maps").splitlines()
    assert all(MAPS_LINE.fullmatch(line) for line in lines)
    assert [line[73:] for line in lines] == ["", "/lib.so", "/lib.so", "[stack]"]
    assert [line.split()[1] for line in lines] == ["rw-p", "rw-s", "rw-p", "rwxp"]
    assert lines[2].split()[2:5] == ["00040000", "08:00", "2"]
    assert lines[0].endswith(" 00:00 0 ")
    starts = [int(line.split("-")[0], 16) for line in lines]
    assert starts == sorted(starts)
    assert machine.procfs("db/maps") == machine.procfs("100/maps")


def test_smaps_has_every_line_in_the_kernels_order_and_width(machine: Machine) -> None:
    text = machine.procfs("web/smaps")
    block = text.splitlines()[1:24]
    assert tuple(line.split(":")[0] for line in block) == (*SMAPS_NAMES, "THPeligible", "VmFlags")
    assert all(re.fullmatch(r"[A-Za-z_]+: {1,14} *\d+ kB", line) and len(line) == 27 for line in block[:21])
    assert block[22] == "VmFlags: rd wr mr mw me "


@pytest.mark.row("X-13", "S3-021")
def test_smaps_adds_up_to_the_page_tables(machine: Machine) -> None:
    k, scan = machine.kernel, scanned(machine.kernel)
    total_pss = 0
    for task in machine.tasks:
        of_task = rows(machine.procfs(f"{task.name}/smaps"))
        for area in of_task:
            assert sum(area[name] for name in SMAPS_NAMES[6:10]) == area["Rss"] >= area["Pss"]
            assert area["Rss"] + area["Swap"] <= area["Size"]
        mm = k.mms[task.record.mm]
        assert sum(area["Rss"] for area in of_task) == 4 * int(mm.rss)
        own = [places for places in scan.values() if any(place[0] == task.record.mm for place in places)]
        assert sum(a["Private_Clean"] + a["Private_Dirty"] for a in of_task) == 4 * sum(len(p) == 1 for p in own)
        total_pss += sum(area["Pss"] for area in of_task)
    # Each area rounds its share down to a kB.
    assert 4 * len(scan) - 12 <= total_pss <= 4 * len(scan)
    shared = {pfn for pfn, places in scan.items() if len(places) > 1}
    assert 30 < len(shared) <= 64, "frames are shared where the file is mapped shared, and only there"
    assert all(k.pages[pfn].mapping == machine.file_mappings["lib.so"] for pfn in shared)


def test_swap_is_in_smaps_and_status(machine: Machine) -> None:
    swapped = sum(area["Swap"] for task in machine.tasks for area in rows(machine.procfs(f"{task.name}/smaps")))
    status = [re.search(r"VmSwap:\t *(\d+) kB", machine.procfs(f"{task.name}/status")) for task in machine.tasks]
    assert sum(int(match[1]) for match in status if match) == swapped > 0
    in_use = int(machine.kernel.swap_info[0].inuse_pages)
    assert swapped <= 4 * in_use


def test_numa_maps_says_how_many_pages_are_on_each_node(machine: Machine) -> None:
    k = machine.kernel
    for task in machine.tasks:
        lines = machine.procfs(f"{task.name}/numa_maps").splitlines()
        assert all(NUMA_MAPS_LINE.fullmatch(line) for line in lines), lines
        nodes = [0, 0]
        for node, pages in re.findall(r"N(\d)=(\d+)", " ".join(lines)):
            nodes[int(node)] += int(pages)
        found = scanned(k)
        mine = [pfn for pfn, places in found.items() if any(place[0] == task.record.mm for place in places)]
        assert nodes == np.bincount(user_pages.node_of_frames(k, np.array(mine)), minlength=2).tolist()
    assert "mapmax=3" in machine.procfs("db/numa_maps")
    assert "file=/lib.so" in lines[1]
    assert lines[-1].endswith(" default stack")


def test_status_and_statm(machine: Machine) -> None:
    text = machine.procfs("batch/status")
    fields = dict(line.split(":\t") for line in text.splitlines())
    assert fields["Name"] == "batch"
    assert fields["State"] == "S (sleeping)"
    assert fields["Pid"] == "102"
    assert fields["VmSize"] == f"{(2 * MIB_PAGES + 64 + 16 + 2) * 4:8d} kB"
    assert fields["VmData"] == f"{(2 * MIB_PAGES + 16) * 4:8d} kB"
    assert fields["VmStk"] == "       8 kB"
    rss = int(fields["VmRSS"].split()[0])
    assert rss == int(fields["RssAnon"].split()[0]) + int(fields["RssFile"].split()[0])
    size, resident, shared, *_ = (int(n) for n in machine.procfs("batch/statm").split())
    assert (size, resident) == (2 * MIB_PAGES + 82, rss // 4)
    assert shared == int(fields["RssFile"].split()[0]) // 4


def test_peaks_are_the_most_there_has_been() -> None:
    """VmPeak and VmHWM keep what munmap and swapping take away; exec starts anew."""
    texts: list[dict[str, int]] = []
    machine = small(nodes=(4,))

    def program(task: Any) -> Any:
        def note() -> None:
            lines = (line.split(":\t") for line in machine.procfs("mine/status").splitlines())
            fields = {name: int(value.split()[0]) // 4 for name, value in lines if value.endswith("kB")}
            texts.append({name: fields[name] for name in ("VmPeak", "VmSize", "VmHWM", "VmRSS")})

        heap = yield task.mmap(300 * PAGE)
        yield task.touch(heap, write=1.0)
        note()
        yield task.munmap(heap, offset=100 * PAGE, length=200 * PAGE)
        note()
        large = yield task.mmap(2 * MIB_PAGES * PAGE)
        yield task.touch(large, write=1.0)
        note()

        def other(task: Any) -> Any:
            note()
            yield task.sleep(1)

        yield task.exec(other)

    machine.add(program, name="mine")
    machine.run_to_end()
    assert texts[0] == {"VmPeak": 302, "VmSize": 302, "VmHWM": 300, "VmRSS": 300}
    assert texts[1] == {"VmPeak": 302, "VmSize": 102, "VmHWM": 300, "VmRSS": 100}
    assert texts[2]["VmPeak"] == texts[2]["VmSize"] == 614
    assert 300 < texts[2]["VmHWM"] >= texts[2]["VmRSS"]
    assert texts[3] == {"VmPeak": 2, "VmSize": 2, "VmHWM": 0, "VmRSS": 0}


def test_no_such_task(machine: Machine) -> None:
    with pytest.raises(SimulationError, match=r"no task 'nobody'; there are: db \(100\), web \(101\), batch \(102\)"):
        machine.procfs("nobody/maps")


def test_mapcounts_need_no_reverse_map_and_equal_it() -> None:
    machine = small(
        nodes=(8,), disk=[DISK], file=[{"name": "lib.so", "size": "1MiB", "disk": "sda"}], kernel={"rmap": True}
    )
    for name in ("db", "web"):
        machine.add(program, name=name)
    machine.run_until(500_000_000)
    k = machine.kernel
    pfns = np.flatnonzero(k.rmap["mapcount"])
    assert len(pfns) > 500
    assert user_pages.mapcounts(k, pfns).tolist() == k.rmap["mapcount"][pfns].tolist()


def test_snapshots_have_the_processes_and_looking_changes_nothing() -> None:
    def run(snapshot: str | None, look: bool) -> Any:
        machine = small(
            nodes=(5, 4), swap=(ZRAM,), disk=[DISK], file=[{"name": "lib.so", "size": "1MiB", "disk": "sda"}],
            run={} if snapshot is None else {"snapshot": snapshot},
        )  # fmt: skip
        for name in ("db", "web"):
            machine.add(program, name=name)
        if look:
            for at in range(1, 20):
                machine.run_until(at * 700_000)
                for name in proc_pid.FILES:
                    machine.procfs(f"db/{name}")
        return finish(machine)

    watched, plain = run("400ms", look=True), run(None, look=False)
    assert event_hash(watched.kernel) == event_hash(plain.kernel)
    assert watched.end_ns == plain.end_ns
    names = set(watched.snapshots[0].texts)
    assert {f"{pid}/{name}" for pid in (100, 101) for name in proc_pid.FILES} < names
    assert watched.snapshots[0].texts["100/status"].startswith("Name:\tdb\n")


def test_a_program_has_text_data_and_bss() -> None:
    def shell(task: Any) -> Any:
        binary = yield task.open("ls")
        yield task.exec(running, file=binary, text="64KiB", data="16KiB", bss="32KiB", arguments="2KiB")

    def running(task: Any) -> Any:
        yield task.touch(task.regions["text"])
        yield task.touch(task.regions["bss"], write=1.0)
        yield task.sleep("1s")

    machine = small(nodes=(8,), disk=[DISK], file=[{"name": "ls", "size": "160KiB", "disk": "sda"}])
    machine.add(shell, name="ls")
    machine.run_until(500_000_000)
    lines = [line.split() for line in machine.procfs("ls/maps").splitlines()]
    assert [(line[1], line[-1]) for line in lines if line[-1] == "/ls"] == [("r-xp", "/ls"), ("rw-p", "/ls")]
    assert (lines[-1][1][:2], lines[-1][-1]) == ("rw", "[stack]")
    status = machine.procfs("ls/status")
    assert "VmExe:\t      64 kB\n" in status
    assert "VmLib:\t       0 kB\n" in status
    numa = machine.procfs("ls/numa_maps").splitlines()
    assert " file=/ls " in numa[0]
    assert " N0=16 " in numa[0]
    assert "[heap]" not in machine.procfs("ls/maps"), "nobody has called brk"


def test_context_switches_are_voluntary_or_not() -> None:
    machine = small(nodes=(8,), kernel={"time_slice": "1ms"})

    def computing(task: Any) -> Any:
        yield task.compute("10ms")
        yield task.sleep("1ms")
        yield task.compute("1ms")
        yield task.sleep("1s")

    for name in ("one", "two"):
        machine.add(computing, name=name)
    machine.run_until(500_000_000)
    for name in ("one", "two"):
        status = dict(line.split(":\t") for line in machine.procfs(f"{name}/status").splitlines())
        assert status["voluntary_ctxt_switches"] == "2"
        assert 8 <= int(status["nonvoluntary_ctxt_switches"]) <= 11


def test_heap_and_locked_memory() -> None:
    def program(task: Any) -> Any:
        yield task.sbrk("64KiB")
        region = yield task.mmap(8 * PAGE)
        yield task.mlock(region, length=4 * PAGE)
        yield task.sleep("1s")

    machine = small(nodes=(8,))
    machine.add(program, name="db", root=True)
    machine.run_until(500_000_000)
    (heap,) = [line for line in machine.procfs("db/maps").splitlines() if line.endswith("[heap]")]
    start, end = (int(address, 16) for address in heap.split()[0].split("-"))
    assert end - start == 64 << 10
    assert " heap" in machine.procfs("db/numa_maps")
    assert "VmLck:\t      16 kB\n" in machine.procfs("db/status")
    locked = [area for area in rows(machine.procfs("db/smaps")) if area["Locked"]]
    assert [(area["Size"], area["Rss"], area["Locked"]) for area in locked] == [(16, 16, 16)]
    assert " lo " in machine.procfs("db/smaps")
