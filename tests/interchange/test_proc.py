"""The texts of /proc and /sys by parsers that others have written, or as strict as theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interchange import proc_reader as read

from numa_sim import Machine, load, write_run
from numa_sim.cli.app import main
from numa_sim.processes.watched import proc_files
from numa_sim.state.constants import NR_ZONES
from numa_sim.state.counters import VMSTAT

REAL = Path(__file__).parents[1] / "data" / "proc"
PROFILES = ["linux-2.2", "linux-2.4.0", "linux-2.4.22", "linux-2.4.37"]
KIB = 1024
PAGE_KIB = 4
AT_NS = 4_000_000


# The parsers read what real machines say ------------------------------------------------------------------------------


def test_the_parsers_read_real_machines() -> None:
    two, prometheus = REAL / "two-nodes", REAL / "prometheus"
    assert read.meminfo((two / "meminfo").read_text())["MemFree"] == 4211712
    assert read.node_meminfo((two / "node1" / "meminfo").read_text())[1]["MemUsed"] == 950000
    assert read.pairs((two / "node1" / "numastat").read_text())["numa_miss"] == 489923
    assert read.pairs((two / "vmstat").read_text())["numa_hit"] == 4905365
    zones = read.zoneinfo((two / "zoneinfo").read_text())
    assert [(zone["node"], zone["zone"]) for zone in zones[:2]] == [(0, "DMA"), (0, "DMA32")]
    assert (zones[1]["low"], zones[1]["nr_free_pages"]) == (6886, 38067)
    zone = read.zoneinfo((prometheus / "zoneinfo").read_text())[0]
    assert (zone["min"], zone["nr_free_pages"], zone["protection"]) == (33, 3952, [0, 2877, 7826, 7826, 7826])
    assert read.buddyinfo((REAL / "one-node" / "buddyinfo").read_text())[0, "DMA32"][10] == 681
    assert read.swaps((prometheus / "swaps").read_text()) == [("/dev/zram0", "partition", 8388604, 76, 100)]
    assert read.slabinfo((prometheus / "slabinfo").read_text())["tw_sock_TCP"]["slabs"] == 27
    areas = read.smaps((prometheus / "26231" / "smaps").read_text())
    assert [(area["Rss"], area["name"]) for area in areas] == [(2564, ""), (8, "[stack]")]
    assert read.status((prometheus / "26231" / "status").read_text())["VmRSS"] == 6716
    assert read.stat((prometheus / "26231" / "stat").read_text())["rss"] == 1981
    lines = (prometheus / "26232" / "maps").read_text().splitlines()
    assert [read.map_line(line)["permissions"] for line in lines[:2]] == ["r--p", "rwxs"]


# ... and what simulated ones say --------------------------------------------------------------------------------------


def simulated(profile: str, slab: bool = False) -> Machine:
    """Two nodes; a task in more memory than there is, one that reads a file, one that sleeps."""
    machine = Machine.of(
        nodes=[{"memory": "8MiB", "cpus": "0"}, {"memory": "8MiB", "cpus": "1"}],
        distances=[[10, 21], [21, 10]],
        swap=[{"device": "nvme", "size": "32MiB", "priority": 3}],
        disk=[{"name": "ssd", "device": "sata-ssd", "size": "16MiB"}],
        file=[{"name": "table", "disk": "ssd", "size": "1MiB"}],
        kernel={"profile": profile, "slab": slab},
    )

    def hog(task: Any) -> Any:
        heap = yield task.mmap("24MiB", name="heap")
        yield task.touch(heap, write=1.0)
        yield task.touch(heap, write=1.0)

    def reader(task: Any) -> Any:
        table = yield task.open("table")
        view = yield task.mmap(file=table, shared=True)
        yield task.touch(view)
        yield task.sleep("1s")

    machine.add(hog, cpus=[0], name="hog")
    machine.add(reader, cpus=[1], name="a reader")
    machine.run_until(AT_NS)
    return machine


@pytest.fixture(scope="module", params=PROFILES)
def shown(request: pytest.FixtureRequest) -> tuple[Machine, dict[str, str]]:
    machine = simulated(request.param)
    return machine, proc_files(machine)


Shown = tuple[Machine, dict[str, str]]


def test_memory_and_counters_are_the_simulators(shown: Shown) -> None:
    machine, files = shown
    k = machine.kernel
    memory, counters = read.meminfo(files["proc/meminfo"]), read.pairs(files["proc/vmstat"])
    assert memory["MemFree"] == int(k.zones["free_pages"].sum()) * PAGE_KIB
    assert memory["SwapTotal"] - memory["SwapFree"] == int(k.swap_info["inuse_pages"].sum()) * PAGE_KIB
    assert 0 < memory["MemFree"] < memory["MemTotal"] < 16 * KIB
    swapped = counters["pswpout"]
    assert swapped == int(k.vmstat[:, VMSTAT.index("pswpout")].sum()) > 0
    for name in ("numa_hit", "numa_miss", "numa_foreign", "pgfault", "pgmajfault", "pswpin"):
        assert counters[name] == int(k.vmstat[:, VMSTAT.index(name)].sum())
    if machine.config.kernel.profile == "linux-2.2":
        assert "Active" not in memory
    else:
        assert memory["Active"] + memory["Inactive"] > 0


def test_nodes_add_up_to_the_machine(shown: Shown) -> None:
    machine, files = shown
    k = machine.kernel
    node = "sys/devices/system/node/node{}/{}"
    rows = [read.node_meminfo(files[node.format(n, "meminfo")]) for n in (0, 1)]
    assert [n for n, _ in rows] == [0, 1]
    assert sum(row["MemFree"] for _, row in rows) == read.meminfo(files["proc/meminfo"])["MemFree"]
    for n in (0, 1):
        stats = read.pairs(files[node.format(n, "numastat")])
        assert stats["numa_hit"] == int(k.vmstat[n, VMSTAT.index("numa_hit")])
        assert read.pairs(files[node.format(n, "vmstat")])["numa_hit"] == stats["numa_hit"]
        assert files[node.format(n, "cpulist")] == f"{n}\n"
    assert files[node.format(0, "distance")] == "10 21\n"
    assert files["sys/devices/system/node/online"] == "0-1\n"


def test_zones_and_free_blocks_agree(shown: Shown) -> None:
    machine, files = shown
    k = machine.kernel
    zones, blocks = read.zoneinfo(files["proc/zoneinfo"]), read.buddyinfo(files["proc/buddyinfo"])
    used = [zone for zone in range(len(k.zones)) if k.zones[zone]["size"] > 0]
    assert [zone["node"] for zone in zones] == [zone // NR_ZONES for zone in used]
    for found, number in zip(zones, used, strict=True):
        assert found["nr_free_pages"] == k.zones[number].free_pages
        assert found["min"] <= found["low"] <= found["high"]
        assert len(found["protection"]) == NR_ZONES
        free = sum(n << order for order, n in enumerate(blocks[found["node"], found["zone"]]))
        assert free == found["nr_free_pages"]


def test_swap_areas_and_slabs(shown: Shown) -> None:
    files = shown[1]
    memory = read.meminfo(files["proc/meminfo"])
    ((name, kind, size, used, priority),) = read.swaps(files["proc/swaps"])
    assert (name, kind, priority) == ("/dev/nvme0", "partition", 3)
    assert (size, used) == (memory["SwapTotal"], memory["SwapTotal"] - memory["SwapFree"])
    slabs = read.slabinfo(files["proc/slabinfo"])
    assert sum(row["slabs"] * row["pages"] for row in slabs.values()) * PAGE_KIB == memory["Slab"]


def test_what_2_4_says_itself_is_what_those_parsers_refuse() -> None:
    """Why meminfo and slabinfo are written in a later layout: 2.4's own are not read."""
    machine = simulated("linux-2.4.37")
    with pytest.raises(ValueError, match="used:"):
        read.meminfo(machine.procfs("meminfo"))
    with pytest.raises(ValueError, match=r"kmem_cache|vm_area_struct|size-"):
        read.slabinfo(machine.procfs("slabinfo"))


def test_slabs_that_exist_are_counted() -> None:
    files = proc_files(simulated("linux-2.4.37", slab=True))
    slabs = read.slabinfo(files["proc/slabinfo"])
    assert slabs["vm_area_struct"]["active"] > 0
    assert all(row["objects"] == row["slabs"] * row["per_slab"] >= row["active"] for row in slabs.values())
    assert read.meminfo(files["proc/meminfo"])["Slab"] > 0


def test_processes_agree_among_their_files(shown: Shown) -> None:
    machine, files = shown
    k = machine.kernel
    for pid, name in ((100, "hog"), (101, "a reader")):
        task = next(t for t in machine.tasks if t.record.pid == pid)
        texts = {file: files[f"proc/{pid}/{file}"] for file in ("stat", "status", "statm", "smaps", "maps")}
        stat, status, areas = read.stat(texts["stat"]), read.status(texts["status"]), read.smaps(texts["smaps"])
        assert (stat["pid"], stat["name"], status["Name"], status["Pid"]) == (pid, name, name, pid)
        assert (stat["min_flt"], stat["maj_flt"]) == (task.record.min_flt, task.record.maj_flt)
        assert stat["rss"] * PAGE_KIB == status["VmRSS"] == int(k.mms[task.record.mm].rss) * PAGE_KIB
        assert stat["vsize"] == status["VmSize"] * KIB
        assert sum(area["Rss"] for area in areas) == status["VmRSS"]
        assert sum(area["Swap"] for area in areas) == status["VmSwap"]
        assert [area["start"] for area in areas] == [
            read.map_line(line)["start"] for line in texts["maps"].splitlines()
        ]
        assert stat["utime"] + stat["stime"] <= AT_NS // 10_000_000 + 1
        assert status["Threads"] == stat["threads"] == 1


# psutil, which many use, on the written files ------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
def test_psutil_reads_the_machine_and_its_processes(
    profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    psutil = pytest.importorskip("psutil")
    machine = simulated(profile)
    k = machine.kernel
    for name, text in proc_files(machine).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(psutil, "PROCFS_PATH", str(tmp_path / "proc"))
    if profile == "linux-2.2":  # 2.2 has no lists: psutil says that it does not know, and so it should
        with pytest.warns(RuntimeWarning, match="active, inactive memory stats|shared, active, inactive"):
            memory = psutil.virtual_memory()
    else:
        with pytest.warns(RuntimeWarning, match="shared memory stats couldn't be determined"):
            memory = psutil.virtual_memory()
        assert memory.active + memory.inactive > 0
    assert memory.free == int(k.zones["free_pages"].sum()) * 4096
    swap = psutil.swap_memory()
    assert swap.used == int(k.swap_info["inuse_pages"].sum()) * 4096 > 0
    assert swap.sout == int(k.vmstat[:, VMSTAT.index("pswpout")].sum()) * 4096
    assert psutil.boot_time() == 0
    assert psutil.pids() == [100, 101]
    hog = psutil.Process(100)
    assert (hog.name(), hog.ppid(), hog.num_threads()) == ("hog", 0, 1)
    rss = int(k.mms[machine.tasks[0].record.mm].rss) * 4096
    assert hog.memory_info().rss == rss
    assert hog.memory_full_info().uss <= rss
    assert hog.memory_full_info().swap > 0
    areas = hog.memory_maps(grouped=False)
    assert sum(area.rss for area in areas) == rss
    assert max(area.size for area in areas) == 24 << 20
    assert "/table" in {area.path for area in psutil.Process(101).memory_maps()}
    assert psutil.Process(101).num_ctx_switches().voluntary >= 1


def test_a_program_that_has_ended_has_no_folder() -> None:
    machine = simulated("linux-2.4.37")
    machine.run_to_end()
    assert not [name for name in proc_files(machine) if name.startswith("proc/1")]


def test_looking_changes_nothing() -> None:
    """R4: a run that was looked at ends in the same events and state."""
    ends = []
    for looks in (False, True):
        machine = simulated("linux-2.4.22")
        if looks:
            proc_files(machine)
        result = machine.run_to_end()
        ends.append((result.end_ns, int(machine.kernel.vm[0].event_count), np.asarray(machine.kernel.vmstat).tolist()))
    assert ends[0] == ends[1]


def test_the_command_writes_a_tree_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = Path(__file__).parents[2] / "configs" / "first-touch.toml"
    command = ["proc", str(config), "--at", "100us", "--out", str(tmp_path / "tree")]
    for code, said in ((0, "files written"), (2, "exists already")):
        with pytest.raises(SystemExit) as ended:
            main(command)
        assert ended.value.code == code
        assert said in "".join(capsys.readouterr())
    assert read.meminfo((tmp_path / "tree" / "proc" / "meminfo").read_text())["MemTotal"] > 0
    with pytest.raises(SystemExit) as ended:
        main([*command[:3], "soon", *command[4:]])
    assert ended.value.code == 2
    assert "--at" in capsys.readouterr().err


def test_a_run_folder_is_as_good_as_its_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its run is made again up to that moment; it brings its own settings."""
    config = Path(__file__).parents[2] / "configs" / "first-touch.toml"
    folder = write_run(Machine(load(config, ["run.seed=5"])).run_to_end(), tmp_path / "run", picture=False)
    trees = []
    for name, source in (("one", [str(config), "--set", "run.seed=5"]), ("two", [str(folder)])):
        with pytest.raises(SystemExit) as ended:
            main(["proc", *source, "--at", "100us", "--out", str(tmp_path / name)])
        assert ended.value.code == 0
        files = (file for file in sorted((tmp_path / name).rglob("*")) if file.is_file())
        trees.append({file.relative_to(tmp_path / name): file.read_bytes() for file in files})
    assert trees[0] == trees[1]
    assert len(trees[0]) > 20
    capsys.readouterr()
    for arguments, said in (
        ([str(folder), "--set", "run.seed=6"], "is a run folder (allowed: a configuration with --set)"),
        ([str(tmp_path / "one")], "this is no run folder"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["proc", *arguments, "--out", str(tmp_path / "three")])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err
