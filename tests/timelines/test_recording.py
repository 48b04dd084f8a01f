"""What a timeline records is what the counters count, and recording it changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from machine.small import small
from timelines.recorded import MACHINES, counters, finished, pressed, seen

from numa_sim.observe.result import RunResult
from numa_sim.observe.timeline import from_events
from numa_sim.observe.timeline.spans import AT, DETAILS, FAULTS, Kind, Timeline
from numa_sim.processes import timeline as recording
from numa_sim.results import Run, open_run, write_run
from numa_sim.results.tables import span_table, timeline_of
from numa_sim.workloads.patterns import uniform

RECLAIM_IN_ALLOCATIONS = ("2.4.0",)
"""There, pages are also taken from the clean list without any reclaim of the task's own."""


def of(result: RunResult) -> Timeline:
    assert result.timeline is not None
    return result.timeline


def duration(rows: Any) -> int:
    return int((rows[:, AT["end_ns"]] - rows[:, AT["begin_ns"]]).sum())


@pytest.mark.parametrize("name", MACHINES)
def test_recording_changes_nothing(name: str) -> None:
    """R4: summary, hashes and time series of a run are the same with a timeline and without."""
    plain, watched = Run.of(MACHINES[name](False).run_to_end()), seen(name)
    assert plain.summary == watched.summary
    for table in ("timeseries", "cpu_series", "disk_series", "swap_series"):
        assert getattr(plain, table).equals(getattr(watched, table))


@pytest.mark.parametrize("record_events", [0, 100, 100_000])
def test_all_other_files_of_the_run_folder_are_the_same(tmp_path: Path, record_events: int) -> None:
    """R4: byte for byte, the recorded events included."""
    folders = [
        write_run(pressed(on, run={"record_events": record_events}).run_to_end(), tmp_path / name, picture=False)
        for on, name in ((False, "plain"), (True, "watched"))
    ]
    files = [{file.relative_to(folder): file.read_bytes() for file in folder.rglob("*.*")} for folder in folders]
    files = [{str(name): data for name, data in found.items() if name.suffix != ".json"} for found in files]
    plain, watched = files
    assert ("events.parquet" in plain) == (record_events > 0)
    assert {name: data for name, data in watched.items() if name in plain} == plain
    assert set(watched) - set(plain) == {"spans.parquet", "trace.pftrace"}
    assert (folders[0] / "summary.json").read_bytes() == (folders[1] / "summary.json").read_bytes()


@pytest.mark.parametrize("name", MACHINES)
def test_spans_are_as_many_as_the_counters_say(name: str) -> None:
    timeline, summary, counts = of(finished(name)), seen(name).summary, counters(name)
    assert timeline.lost_events == timeline.dropped == 0
    assert len(timeline.of(Kind.MINOR_FAULT, Kind.MAJOR_FAULT)) == counts["pgfault"] > 0
    assert len(timeline.of(Kind.MAJOR_FAULT)) == counts["pgmajfault"]
    assert len(timeline.of(Kind.REQUEST)) == sum(disk["reads"] + disk["writes"] for disk in summary["disks"])
    assert len(timeline.of(Kind.DIRECT_RECLAIM)) == counts["allocstall"]
    reclaimed = timeline.of(Kind.DIRECT_RECLAIM)[:, [AT["scanned"], AT["freed"]]].sum(0).tolist()
    if name not in RECLAIM_IN_ALLOCATIONS:
        assert reclaimed == [counts["pgscan_direct"], counts["pgsteal_direct"]]
    worked = timeline.of(Kind.DAEMON_WORK)[:, [AT["scanned"], AT["freed"]]].sum(0).tolist()
    assert worked == [counts["pgscan_kswapd"], counts["pgsteal_kswapd"]]
    happened = [DETAILS[detail] for detail in timeline.of(Kind.INSTANT)[:, AT["detail"]].tolist()]
    assert happened.count("oom_kill") == counts["oom_kill"]
    moved = counts["migrations_within_node"] + counts["migrations_across_nodes"]
    assert happened.count("migrate_task") == moved
    assert name != "balanced" or moved > 0
    if name == "stopped":
        assert {"still running"} & {DETAILS[d] for d in timeline.of(Kind.RUNNING)[:, AT["detail"]].tolist()}


@pytest.mark.parametrize("name", MACHINES)
def test_turns_on_cpus_are_their_busy_time(name: str) -> None:
    timeline, summary = of(finished(name)), seen(name).summary
    turns = timeline.of(Kind.RUNNING)
    over = turns[[DETAILS[detail] != "still running" for detail in turns[:, AT["detail"]].tolist()]]
    for cpu in summary["cpus"]:
        mine = over[over[:, AT["cpu"]] == cpu["cpu"]]
        assert duration(mine) == cpu["busy_ns"]
        assert (mine[1:, AT["begin_ns"]] >= mine[:-1, AT["end_ns"]]).all(), "one after the other"
    switches = (turns[:, AT["middle_ns"]] - turns[:, AT["begin_ns"]]) > 0
    if name != "stopped":
        assert switches.sum() >= sum(cpu["context_switches"] for cpu in summary["cpus"]) > 0


@pytest.mark.parametrize("name", ["2.4.37", "2.4.0", "2.2", "fork", "files"])
def test_on_and_off_a_cpu_is_the_life_of_a_task(name: str) -> None:
    timeline, summary = of(finished(name)), seen(name).summary
    for task in summary["tasks"]:
        rows = timeline.of(Kind.RUNNING, Kind.OFF_CPU)
        rows = rows[rows[:, AT["task"]] == task["task"]]
        rows = rows[np.lexsort((rows[:, AT["end_ns"]], rows[:, AT["begin_ns"]]))]
        assert (rows[1:, AT["begin_ns"]] == rows[:-1, AT["end_ns"]]).all(), "without gaps"
        assert rows[0, AT["begin_ns"]] == task["start_ns"]
        assert rows[-1, AT["end_ns"]] == task["end_ns"]


@pytest.mark.parametrize("name", ["2.4.37", "hdd", "fork"])
def test_time_in_run_queues_is_what_tasks_are_charged(name: str) -> None:
    """To the microsecond or so: a CPU may still be at work for a task that is runnable again."""
    timeline, summary = of(finished(name)), seen(name).summary
    off = timeline.of(Kind.OFF_CPU)
    queued = off[:, AT["end_ns"]] - off[:, AT["middle_ns"]]
    for task in summary["tasks"]:
        mine = off[:, AT["task"]] == task["task"]
        least = queued[mine].sum()
        assert least <= task["parts_ns"]["run_queue"] <= least + 4000 * mine.sum()
    assert queued.sum() > 0


def test_length_of_a_fault_the_hardware_serves_is_at_least_told() -> None:
    """Exact where nothing but the kind costs: sum of the spans = time of minor faults but for the page tables."""
    machine = small((8,), run={"timeline": True}, kernel={"switches": {"locks": False}})

    def program(task: Any) -> Any:
        heap = yield task.mmap(400 * 4096)
        yield task.touch(heap, write=1.0)
        other = yield task.mmap(100 * 4096)
        yield task.touch(other, uniform(), accesses=300, write=0.0)

    machine.add(program)
    result = machine.run_to_end()
    summary = Run.of(result).summary
    task = summary["tasks"][0]
    tables = sum(node["vmstat"]["table_pages"] for node in summary["nodes"])
    costs = machine.costs
    spans = duration(of(result).of(Kind.MINOR_FAULT))
    assert spans < task["parts_ns"]["minor_fault"] <= spans + tables * costs.table_alloc_ns + 500 * 20


def test_a_window_keeps_what_overlaps_it() -> None:
    whole, window = of(finished("2.4.37")), of(pressed({"from": "3ms", "until": "7ms"}).run_to_end())
    low, high = 3_000_000, 7_000_000
    inside = (whole.column("end_ns") >= low) & (whole.column("begin_ns") < high)
    drop = [AT["request"], AT["cpu"]]  # requests are numbered as they end; the turn a fault began in may be outside
    assert 500 < inside.sum() < len(whole)
    assert np.array_equal(np.delete(whole.rows[inside], drop, 1), np.delete(window.rows, drop, 1))
    assert (window.from_ns, window.until_ns) == (low, high)


def test_too_many_spans_are_cut_and_said_to_be() -> None:
    whole, cut = of(finished("2.4.37")), of(pressed({"most": 1000}).run_to_end())
    assert len(cut) == 1000
    assert cut.dropped == len(whole) - 1000
    assert 0 < cut.cut_ns < whole.rows[:, AT["end_ns"]].max()
    early = whole.rows[whole.column("end_ns") < cut.cut_ns]
    assert len(early) > 500
    without_cpu = [i for i in range(len(early[0])) if i != AT["cpu"]]
    assert set(map(tuple, early[:, without_cpu].tolist())) <= set(map(tuple, cut.rows[:, without_cpu].tolist()))
    assert timeline_of(span_table(cut)).missing == cut.missing
    assert f"{cut.dropped} spans" in cut.missing
    assert whole.missing == ""


def test_events_that_found_no_room_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording.MachineTimeline, "advance", _in_one_stride)
    monkeypatch.setattr(from_events, "_READ_AT", 1 << 30)
    plain = of(finished("fork"))
    for module in ("numa_sim.processes.build", "numa_sim.processes.timeline"):
        monkeypatch.setattr(f"{module}.LOG_EVENTS", 500)
    timeline = of(MACHINES["fork"]().run_to_end())
    assert timeline.lost_events > 1000
    assert len(timeline.of(*FAULTS)) < len(plain.of(*FAULTS))


def _in_one_stride(self: recording.MachineTimeline, next_ns: int) -> int:
    return int(recording._run_hardware.call(self._machine.kernel, next_ns))


def test_the_log_is_read_before_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small its buffer, nothing is lost as long as a stride fits."""
    for module in ("numa_sim.processes.build", "numa_sim.processes.timeline"):
        monkeypatch.setattr(f"{module}.LOG_EVENTS", 2000)
    monkeypatch.setattr(from_events, "_READ_AT", 100)
    timeline = of(pressed().run_to_end())
    assert timeline.lost_events == 0
    assert np.array_equal(timeline.rows, of(finished("2.4.37")).rows)


def test_spans_are_stored_as_they_are(tmp_path: Path) -> None:
    result = finished("2.4.37")
    written = open_run(write_run(result, tmp_path / "run", picture=False))
    again = timeline_of(written.spans)
    assert np.array_equal(again.rows, of(result).rows)
    assert again.daemons == of(result).daemons
    frame = written.to_pandas("spans")
    assert set(frame.kind) >= {"running", "off_cpu", "minor_fault", "major_fault", "request", "page_wait"}
    assert frame[frame.kind == "request"].detail.isin(["read", "write"]).all()


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = [write_run(pressed().run_to_end(), tmp_path / name, picture=False) for name in "ab"]
    for file in ("manifest.json", "spans.parquet", "trace.pftrace"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()


def test_without_a_timeline_nobody_is_told() -> None:
    machine = pressed(False)
    assert machine.timeline is None
    assert machine.run_to_end().timeline is None
    assert len(machine.kernel.events) == 1
