"""DAMON's records: out of a run, into another one, and what is wrong with a bad file."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interchange import damo_reader
from scipy.stats import spearmanr
from trace_model import check_items

from numa_sim import Config, Machine, Run, from_arrays, trace_program, uniform, write_run
from numa_sim.cli.app import main
from numa_sim.errors import ConfigError, RunFolderError, TraceFormatError
from numa_sim.results import damon
from numa_sim.results.damon import damon_file, damon_records
from numa_sim.workloads.traces import MapCall, Runs, Wait, read_items
from numa_sim.workloads.traces.items import READ, WRITE

PAGE = 4096
MACHINE: dict[str, Any] = {"nodes": [{"memory": "16MiB", "cpus": "0-1"}], "distances": [[10]]}
OBSERVE: dict[str, Any] = {
    "observe": ["access_map"], "access_map": {"sample": "100us", "aggregate": "1ms", "region": "16KiB"},
}  # fmt: skip
HOT, WARM = 0x4000_0000, 0x4010_0000


def phases(task: Any) -> Any:
    """1 MiB of which the first quarter is hot for 5 ms; then the last quarter for another 5 ms; then nothing."""
    heap = yield task.mmap(256 * PAGE, at=HOT)
    yield task.mmap(16 * PAGE, at=0x7000_0000)  # never accessed
    for first in (0, 192):
        pages = first + np.random.default_rng(first).integers(0, 64, 5000)
        pages[::50] = np.random.default_rng(first).integers(0, 256, 100)  # and a little everywhere
        yield task.touch(heap, from_arrays(pages), write=0.5, compute="900ns")
    yield task.sleep("5ms")


@pytest.fixture(scope="module")
def run() -> Run:
    machine = Machine.of(**MACHINE, run=OBSERVE)
    machine.add(phases, name="phases")
    return Run.of(machine.run_to_end())


def test_a_file_that_nobody_could_read_is_refused_with_what_helps(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """R10: an hour of a small map would be hundreds of megabytes of JSON."""
    recorded = sum(1 + len(snapshot["regions"]) for snapshot in damon_records(run)[0]["snapshots"])
    monkeypatch.setattr(damon, "MAX_RECORDED", recorded - 1)
    said = rf"more than {recorded - 1} snapshots and regions .* each 1ms\): .*damon-compressed .* longer run\.acc"
    with pytest.raises(RunFolderError, match=said):
        damon_file(run)
    assert damo_reader.read(damon_file(run, compress=True))
    monkeypatch.setattr(damon, "MAX_RECORDED", recorded)
    assert damo_reader.read(damon_file(run))


def test_a_file_holds_the_map_in_damos_form(run: Run) -> None:
    (record,) = damo_reader.read(damon_file(run))
    assert damo_reader.read(damon_file(run, compress=True)) == [record]
    assert (record.target, record.sample_us, record.aggr_us) == (100, 100, 1000)
    assert [s.start_ns for s in record.snapshots[1:]] == [s.end_ns for s in record.snapshots[:-1]]
    assert record.snapshots[0].start_ns == 0
    assert record.snapshots[-1].end_ns == run.summary["run"]["end_ns"]
    rows = run.access_map.to_pylist()
    seen = 0.0
    for snapshot in record.snapshots:
        regions = snapshot.regions
        assert all(a.end == b.start for a, b in pairwise(regions))
        assert (regions[0].start, regions[-1].end) == (HOT, HOT + 256 * PAGE)
        truth = {row["start"]: row["nr_accesses"] for row in rows if row["t_ns"] == snapshot.end_ns}
        for region in regions:
            exact = [truth.get(at, 0.0) for at in range(region.start, region.end, 4 * PAGE)]
            assert 0 <= region.samples <= 10
            if region.end - region.start == 4 * PAGE:
                assert abs(region.samples - exact[0]) < 1.01
            seen += region.samples * (region.end - region.start)
    assert seen == pytest.approx(sum(row["page_samples"] for row in rows) * PAGE, abs=128 * PAGE)


def test_rounding_keeps_the_sum_though_no_region_reaches_a_half() -> None:
    """One page in sixteen is accessed once a bin: nr_accesses is 1/16, which makes a 1 in every sixteenth snapshot."""
    machine = Machine.of(**MACHINE, run={**OBSERVE, "access_map": {**OBSERVE["access_map"], "region": "64KiB"}})

    def sparse(task: Any) -> Any:
        heap = yield task.mmap(1024 * PAGE)
        for _ in range(48):
            yield task.touch(heap, from_arrays(np.arange(0, 1024, 16)))
            yield task.sleep("1ms")

    machine.add(sparse)
    sampled = Run.of(machine.run_to_end())
    page_samples = sum(row["page_samples"] for row in sampled.access_map.to_pylist())
    assert 2900 < page_samples <= 48 * 64
    (record,) = damo_reader.read(damon_file(sampled))
    kept = sum(r.samples * (r.end - r.start) for s in record.snapshots for r in s.regions) // PAGE
    assert abs(kept - page_samples) <= 1024 / 2


def test_age_counts_snapshots_without_a_change(run: Run) -> None:
    """Ages in DAMON begin at 0 with a change and grow by one with each snapshot of about as many accesses."""
    (record,) = damo_reader.read(damon_file(run))
    idle = [s for s in record.snapshots if all(r.samples == 0 for r in s.regions)]
    assert len(idle) >= 4
    youngest = [min(r.age for r in s.regions) for s in idle]
    assert youngest == list(range(youngest[0], youngest[0] + len(idle)))
    first_hot = [next(r for r in s.regions if r.start <= HOT < r.end) for s in record.snapshots]
    turned = next(i for i, r in enumerate(first_hot) if i > 2 and r.samples < 3)
    assert first_hot[turned].age == 0
    assert first_hot[0].age == 0


def test_no_more_regions_than_asked_for(run: Run) -> None:
    for limit in (3, 20):
        records = damon_records(run, max_regions=limit)
        lengths = [len(s["regions"]) for s in records[0]["snapshots"]]
        assert max(lengths) <= limit
        assert {int(s["total_bytes"]) for s in records[0]["snapshots"]} == {256 * PAGE}


def test_two_largest_gaps_are_not_watched() -> None:
    def scattered(task: Any) -> Any:
        for at in (0x1000_0000, 0x1001_0000, 0x4000_0000, 0x7000_0000):
            yield task.touch((yield task.mmap(4 * PAGE, at=at)))

    machine = Machine.of(**MACHINE, run=OBSERVE)
    machine.add(scattered)
    (record,) = damo_reader.read(damon_file(Run.of(machine.run_to_end())))
    regions = [(r.start, r.end) for r in record.snapshots[-1].regions]
    assert (0x1000_0000, 0x1000_4000) in regions
    assert sum(end - start for start, end in regions) == 0x1_4000 + 2 * 0x4000


def test_a_replayed_record_is_hot_where_and_when_the_run_was(run: Run, tmp_path: Path) -> None:
    """Accesses per region and snapshot of the replay: rank correlation above 0.9, shares within 2 %."""
    (tmp_path / "damon.data").write_bytes(damon_file(run, compress=True))
    machine = Machine(
        Config.of(
            machine=MACHINE,
            run=OBSERVE,
            workload=[{"name": "again", "trace": {"file": str(tmp_path / "damon.data"), "format": "damon"}}],
        )
    )
    again = Run.of(machine.run_to_end())
    first, second = (_page_samples(each) for each in (run, again))
    keys = sorted(first.keys() | second.keys())
    a, b = (np.array([each[key] for key in keys], float) for each in (first, second))
    assert spearmanr(a, b).statistic > 0.9
    shares = [_share_by_quarter(each) for each in (first, second)]
    assert np.abs(np.subtract(*shares)).max() < 0.02
    assert max(shares[0]) > 0.45
    assert b.sum() == pytest.approx(a.sum(), rel=0.03)
    assert abs(again.summary["run"]["end_ns"] - run.summary["run"]["end_ns"]) < 200_000


def _page_samples(run: Run) -> Counter[tuple[int, int]]:
    """By bin and region."""
    counted: Counter[tuple[int, int]] = Counter()
    for row in run.access_map.to_pylist():
        counted[-(-row["t_ns"] // 1_000_000), row["start"]] += row["page_samples"]
    return counted


def _share_by_quarter(counted: Counter[tuple[int, int]]) -> list[float]:
    quarters = [0, 0, 0, 0]
    for (_, start), samples in counted.items():
        quarters[(start - HOT) // (64 * PAGE)] += samples
    return [n / sum(quarters) for n in quarters]


def record(*snapshots: Any, target: Any = 0, **more: Any) -> dict[str, Any]:
    intervals = {"sample_us": "5,000", "aggr_us": "20ms", "ops_update_us": "1s"}
    return {"intervals": intervals, "target_id": target, "snapshots": list(snapshots), **more}


def snapshot(start: Any, end: Any, *regions: tuple[Any, Any, Any]) -> dict[str, Any]:
    return {
        "start_time": start, "end_time": end,
        "regions": [{"start": a, "end": b, "nr_accesses": n, "age": {"aggr_intervals": 1}} for a, b, n in regions],
    }  # fmt: skip


def write(path: Path, *records: Any) -> Path:
    path.write_text(json.dumps(list(records)))
    return path


def test_every_page_of_a_region_comes_in_nr_accesses_of_the_intervals(tmp_path: Path) -> None:
    """Regions of 8, 4 and 2 pages (numbers as text, in percent, plain), 4 samples in each of two snapshots."""
    one = snapshot(
        "1 s 20 ms", "1,040,000,000",
        ("4,096", 9 * PAGE, {"samples": 3, "percent": None}), (9 * PAGE, 13 * PAGE, {"samples": None, "percent": 25}),
        (90 * PAGE + 1, 91 * PAGE + 1, 9), (200 * PAGE, 300 * PAGE, 0),
    )  # fmt: skip
    two = snapshot(1_050_000_000, 1_070_000_000, (PAGE, 2 * PAGE, {"samples": 4}))
    items = list(read_items(write(tmp_path / "a", record(one, two)), "damon"))
    assert [item.until_ns for item in items if isinstance(item, Wait)] == [
        0, 5_000_000, 10_000_000, 15_000_000, 30_000_000, 35_000_000, 40_000_000, 45_000_000, 50_000_000,
    ]  # fmt: skip
    waits, counted, together = -1, [Counter[int](), Counter[int]()], [0] * 8
    for item in items:
        if isinstance(item, Wait):
            waits += 1
        elif isinstance(item, Runs):
            pages = item.vpn.tolist()
            assert pages == sorted(set(pages))
            counted[waits // 4].update(pages)
            together[waits] += len(pages)
    assert counted[0] == Counter({**dict.fromkeys(range(1, 9), 3), **dict.fromkeys(range(9, 13), 1), 90: 4, 91: 4})
    assert counted[1] == Counter({1: 4})
    assert all(5 <= n <= 13 for n in together[:4])  # spread over the intervals
    assert all(0 < item.pages < 1024 for item in items if isinstance(item, MapCall))


def test_a_share_of_the_pages_is_written_at_every_access(tmp_path: Path) -> None:
    file = write(tmp_path / "a", record(snapshot(0, 9, (0, 4000 * PAGE, 2))))
    done: dict[int, set[int]] = {}
    for item in read_items(file, "damon", write=0.25):
        if isinstance(item, Runs):
            for vpn, flags in zip(item.vpn.tolist(), (item.flags & (READ | WRITE)).tolist(), strict=True):
                done.setdefault(vpn, set()).add(flags)
    assert all(len(flags) == 1 for flags in done.values())
    assert abs(sum(flags == {WRITE} for flags in done.values()) - 1000) < 20


def test_the_target_is_chosen_by_its_id(tmp_path: Path) -> None:
    file = write(tmp_path / "a", record(snapshot(0, 9, (0, PAGE, 1)), target=7), record(target=9),
                 record(snapshot(0, 9, (PAGE, 2 * PAGE, 1)), target=8))  # fmt: skip
    runs = [item for item in read_items(file, "damon", target=8) if isinstance(item, Runs)]
    assert [run.vpn.tolist() for run in runs] == [[1]]
    with pytest.raises(TraceFormatError, match="records 0, 2: choose one target of 7, 8"):
        list(read_items(file, "damon"))
    with pytest.raises(TraceFormatError, match="has no target 5; it has 7, 8"):
        list(read_items(file, "damon", target=5))


def test_without_intervals_the_largest_count_stands_for_all_samples(tmp_path: Path) -> None:
    file = write(tmp_path / "a", record(snapshot(0, 90, (0, PAGE, 3), (PAGE, 2 * PAGE, 1)), intervals=None))
    items = list(read_items(file, "damon"))
    assert [item.until_ns for item in items if isinstance(item, Wait)] == [0, 30, 60, 90]


def accesses(items: Iterable[Any]) -> list[tuple[int, list[int]]]:
    """What is accessed together, and when."""
    now_ns, together = 0, []
    for item in items:
        if isinstance(item, Wait):
            now_ns = item.until_ns
        elif isinstance(item, Runs):
            together.append((now_ns, item.vpn.tolist()))
    return together


def test_what_damo_3_writes_is_read_whether_for_machines_or_for_people() -> None:
    """Files in damo's own layout, with all it writes around what is needed (``tests/data/damon/README.md``)."""
    folder = Path(__file__).parents[1] / "data" / "damon"
    recorded, reported = (
        accesses(read_items(folder / name, "damon")) for name in ("damo-record.json", "damo-report-access.json")
    )
    first = 94_463_172_063_232 // PAGE
    counted = Counter(page - first for at_ns, pages in recorded for page in pages if at_ns < 20_000_000)
    assert counted == Counter({**dict.fromkeys(range(4), 4), **dict.fromkeys(range(4, 8), 1)})
    counted = Counter(page - first for at_ns, pages in recorded for page in pages if at_ns >= 20_000_000)
    assert counted == Counter(dict.fromkeys(range(8, 12), 2))
    assert [pages for _, pages in reported] == [pages for _, pages in recorded]
    assert all(0 <= a - b <= 1 for (a, _), (b, _) in zip(recorded, reported, strict=True))  # it begins 1.333 ns later


@pytest.mark.parametrize(("sample", "samples"), [("4.500 ms", 4), ("0.0045 s", 4), (4500.0, 4), ("1 ms 500.5 us", 13)])
def test_times_may_have_decimals(sample: Any, samples: int, tmp_path: Path) -> None:
    intervals = {"sample_us": sample, "aggr_us": "20 ms", "ops_update_us": "1 s"}
    file = write(tmp_path / "a", record(snapshot("0 ns", "20 ms", (0, PAGE, 99)), intervals=intervals))
    assert len(accesses(read_items(file, "damon"))) == samples


GOOD = snapshot(10, 20, (0, PAGE, 1))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "character 0: expected [, found the end"),
        ("{}", "character 0: expected [, found '{'"),
        ("[1]", "character 1: expected {, found '1'"),
        ("[{}]", "record 0: has no snapshots"),
        ('[{"snapshots": []}] x', "character 20: text behind the end"),
        ('[{"snapshots": []}]', "holds no snapshots"),
        ('[{"snapshots": [{]}]', "is no JSON"),
        ('[{"snapshots": [NaN]}]', "NaN is no number"),
        ('[{"snapshots": [' + "[" * 100_000, "nested too deeply"),
        ('[{"snapshots": [1' + "0" * 5000 + "]}]", "is no JSON"),
        (json.dumps([record({})]), "record 0, snapshot 0: '{}' has no start_time"),
        (json.dumps([record(GOOD, 5)]), "record 0, snapshot 1: '5' has no start_time"),
        (json.dumps([record(GOOD, snapshot(5, 9))]), "record 0, snapshot 1: begins at 5 ns, before the last"),
        (json.dumps([record(snapshot(9, 9))]), "ends at 9 ns, not after its start"),
        (json.dumps([record(snapshot("soon", 9))]), "'soon' is no time in ns, us, ms, s, m, h, d"),
        (json.dumps([record(snapshot("5 weeks", 9))]), "is no time in"),
        (json.dumps([record(snapshot("5.5.5 s", 9))]), "is no time in"),
        (json.dumps([record(snapshot(1e30, 9))]), "is no whole number of 0 to"),
        (json.dumps([record(snapshot(-0.5, 9))]), "is no whole number of 0 to"),
        (json.dumps([record(snapshot(0, 9, (0, PAGE, 1), (5, 5, 1)))]), "snapshot 0, region 1: ends at 5, not behind"),
        (json.dumps([record(snapshot(0, 9, (0, 1 << 60, 1)))]), "is no whole number of 0 to"),
        (json.dumps([record(snapshot(0, 9, (True, PAGE, 1)))]), "'True' is no whole number"),
        (json.dumps([record(snapshot(0, 9, (0, PAGE, -1)))]), "'-1' is no whole number"),
        (json.dumps([record(snapshot(0, 9, (0, PAGE, {})))]), "'{}' has no percent"),
        (json.dumps([record({**GOOD, "regions": 5})]), "regions are '5', no list"),
        (json.dumps([record(GOOD, intervals={"sample_us": 5})]), "has no aggr_us"),
        (json.dumps([record(GOOD, intervals={"sample_us": 5, "aggr_us": 4})]), "5000 and 4000 ns: need 1 to"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, where: str, tmp_path: Path) -> None:
    """R11: one error with the place, for every wrong shape and type."""
    (tmp_path / "bad").write_text(text)
    with pytest.raises(TraceFormatError) as refused:
        list(read_items(tmp_path / "bad", "damon"))
    assert where in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path / 'bad'}: ")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_file_is_read_or_refused(compressed: bool, tmp_path: Path) -> None:
    """R11: 600 mutations of bytes and 60 cuts."""
    text = json.dumps(
        [record(GOOD, snapshot("20", "30", ("4096", "40,960", {"samples": 2, "percent": None})))]
    ).encode()
    good = zlib.compress(text) if compressed else text
    rng = np.random.default_rng(9)
    path = tmp_path / "damaged"
    refused = 0
    for turn in range(660):
        data = bytearray(good)
        if turn < 60:
            del data[int(rng.integers(len(data))) :]
        for _ in range(int(rng.integers(1, 4)) if turn >= 60 else 0):
            at = int(rng.integers(len(data)))
            data[at : at + int(rng.integers(2))] = rng.bytes(int(rng.integers(1, 3)))
        path.write_bytes(data)
        message = _refusal(path)
        assert message.startswith(f"{path}: ") or not message
        refused += bool(message)
    assert refused > 200


def _refusal(path: Path) -> str:
    try:
        check_items(read_items(path, "damon", limit=5000))
    except TraceFormatError as problem:
        return str(problem)
    return ""


def test_memory_does_not_grow_with_the_record(tmp_path: Path) -> None:
    import tracemalloc

    peaks = []
    for n in (20, 2000):
        shots = [snapshot(i * 10, i * 10 + 10, *[(j * PAGE, (j + 1) * PAGE, 0) for j in range(40)]) for i in range(n)]
        file = write(tmp_path / f"{n}", record(*shots))
        del shots
        tracemalloc.start()
        for _ in read_items(file, "damon"):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert file.stat().st_size > 6_000_000
    assert peaks[1] < 2 * peaks[0] + 500_000


def test_a_small_file_that_unpacks_to_much_is_read_within_bounds(tmp_path: Path) -> None:
    """R11: 60 MB of spaces in 60 kB."""
    import tracemalloc

    (tmp_path / "bomb").write_bytes(zlib.compress(b"[" + b" " * 60_000_000 + b"}"))
    tracemalloc.start()
    with pytest.raises(TraceFormatError, match=r"character 60000001: expected \{, found '\}'"):
        list(read_items(tmp_path / "bomb", "damon"))
    assert tracemalloc.get_traced_memory()[1] < 40_000_000
    tracemalloc.stop()


def test_a_slow_machine_falls_behind_and_sleeps_no_more(tmp_path: Path) -> None:
    shots = [snapshot(i * 1000, i * 1000 + 1000, (0, 64 * PAGE, 4)) for i in range(3)]
    machine = Machine.of(**MACHINE)
    machine.add(trace_program(write(tmp_path / "a", record(*shots)), "damon"))
    result = machine.run_to_end()
    assert result.end_ns > 3000
    assert Run.of(result).summary["tasks"][0]["accesses"] == 3 * 4 * 64


def test_the_command_writes_a_file_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine = Machine.of(**MACHINE, run=OBSERVE)

    def brief(task: Any) -> Any:
        yield task.touch((yield task.mmap(64 * PAGE)), uniform(), accesses=100)

    machine.add(brief)
    folder = write_run(machine.run_to_end(), tmp_path / "run", picture=False)
    out = tmp_path / "damon.data"
    command = ["export", str(folder), "--format", "damon-compressed", "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0
    assert damo_reader.read(out.read_bytes())[0].target == 100
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    assert "exists already" in capsys.readouterr().err


def test_a_run_without_the_map_says_how_to_record_it() -> None:
    machine = Machine.of(**MACHINE)
    machine.add(phases)
    with pytest.raises(RunFolderError, match="access_map"):
        damon_records(Run.of(machine.run_to_end()))


@pytest.mark.parametrize("key", ["target", "write"])
def test_target_and_write_are_for_damon_alone(key: str) -> None:
    with pytest.raises(ConfigError, match=rf"workload\.0\.trace\.{key}"):
        Config.of(machine=MACHINE, workload=[{"name": "a", "trace": {"file": "a.npz", key: 1}}])
