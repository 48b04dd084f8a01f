"""Perfetto traces, decoded by Perfetto's own classes, tell what the run's summary and time series tell."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from google.protobuf.internal import encoder
from hypothesis import given
from hypothesis import strategies as st
from timelines import recorded
from timelines.decoded import Track, decode
from timelines.recorded import MACHINES, pressed

from numa_sim.results import Run
from numa_sim.results.timelines import exported
from numa_sim.results.timelines.protobuf import varint
from numa_sim.results.timelines.tracks import Slice, lanes


def told(name: str) -> tuple[Run, Counter[str], dict[str, Track]]:
    """A machine's run, its counters and its trace, decoded."""
    return recorded.seen(name), recorded.counters(name), recorded.tracks(name)


def below(tracks: dict[str, Track], parent: str) -> list[Track]:
    """Tracks of a group, and those below them."""
    found = [track for track in tracks.values() if track.parent == parent]
    return found + [inner for track in found for inner in below(tracks, track.name)]


@pytest.mark.parametrize("name", MACHINES)
def test_every_cpu_disk_and_task_has_a_track(name: str) -> None:
    made, _, tracks = told(name)
    assert [track.name for track in below(tracks, "CPUs")] == [
        f"CPU {cpu['cpu']} (node {cpu['node']})" for cpu in made.summary["cpus"]
    ]
    assert {disk["name"] for disk in made.summary["disks"]} <= {track.name for track in below(tracks, "Disks")} | {
        disk["name"] for disk in made.summary["disks"] if disk["reads"] + disk["writes"] == 0
    }
    for task in made.summary["tasks"]:
        assert tracks[f"{task['name']} in the kernel"].parent == f"{task['name']} ({task['pid']})"


@pytest.mark.parametrize("name", MACHINES)
def test_slices_add_up(name: str) -> None:
    made, counters, tracks = told(name)
    for cpu in made.summary["cpus"]:
        turns = tracks[f"CPU {cpu['cpu']} (node {cpu['node']})"].roots
        over = [turn for turn in turns if turn.arguments["left for"] != "still running"]
        assert sum(turn.end - turn.begin for turn in over) == cpu["busy_ns"]
    slices = [one for track in below(tracks, "Tasks") for one in track.slices]
    assert sum(one.name in ("minor fault", "major fault") for one in slices) == counters["pgfault"]
    assert sum(one.name == "major fault" for one in slices) == counters["pgmajfault"]
    assert sum(one.name == "direct reclaim" for one in slices) == counters["allocstall"]
    for disk in made.summary["disks"]:
        mine = [track for track in below(tracks, "Disks") if track.name.split(" (")[0] == disk["name"]]
        requests = [one for track in mine for one in track.roots]
        assert sum(one.name == "read" for one in requests) == disk["reads"]
        assert sum(one.name == "write" for one in requests) == disk["writes"]
        assert sum(one.end - one.begin for one in requests) == disk["await_ns"]
        assert all(sum(i.end - i.begin for i in one.inner) in (0, one.end - one.begin) for one in requests)


@pytest.mark.parametrize("name", ["2.4.37", "hdd", "2.4.0", "files", "threads"])
def test_flows_lead_from_a_fault_to_its_request_and_to_its_end(name: str) -> None:
    _, counters, tracks = told(name)
    reached = {flow: one for track in below(tracks, "Disks") for one in track.roots for flow in one.flows}
    followed = read = slept = 0
    for track in below(tracks, "Tasks"):
        ends = {flow: instant for instant in track.instants for flow in instant.ends}
        for one in track.slices:
            waits = [wait for wait in every(one.inner) if wait.name == "wait for page"]
            if one.name.endswith("fault"):
                slept += bool(waits)
                read += one.name == "major fault" and bool(one.flows)
                assert len(one.flows) == len(waits)
            for flow in one.flows:
                request, end = reached[flow], ends[flow]
                assert request.end == end.t, "the completion wakes"
                assert request.begin <= end.t
                assert one.begin <= end.t <= one.end
                followed += 1
    assert followed == len(reached) > 50
    assert slept > 0
    if name == "2.4.37":
        assert read == counters["pgmajfault"], "every major fault waits for its page here"


def every(slices: list[Any]) -> list[Any]:
    return [one for outer in slices for one in (outer, *every(outer.inner))]


@pytest.mark.parametrize("name", ["2.4.37", "files"])
def test_counters_are_the_time_series(name: str) -> None:
    made, _, tracks = told(name)
    frame = made.to_pandas()
    for node in made.summary["nodes"]:
        mine = frame[frame.node == node["node"]]
        for column in ("free_pages", "active_pages", "inactive_pages", "cache_pages", "mean_latency_ns"):
            known = mine[mine[column].notna()]
            shown = tracks[f"{node['name']} {column}"].counter
            assert shown == list(zip(known.t_ns, known[column], strict=True))
        bandwidth = tracks[f"{node['name']} bandwidth"].counter
        moved = sum(rate * (after - t_ns) / 64e3 for (t_ns, rate), (after, _) in pairwise(bandwidth))
        assert moved == pytest.approx(node["lines_served"], rel=1e-3, abs=1)
    swap = made.to_pandas("swap_series")
    for area in made.summary["swap_areas"]:
        mine = swap[swap.area == area["area"]]
        assert tracks[f"swap {area['name']} used_pages"].counter == list(zip(mine.t_ns, mine.used_pages, strict=True))


def test_daemons_are_awake_while_they_work() -> None:
    _, _, tracks = told("2.4.37")
    kswapd = tracks["kswapd"]
    assert {one.name for one in kswapd.roots} == {"awake"}
    assert sum(one.name == "work" for one in kswapd.slices) > 10
    wakes = [instant.t for instant in kswapd.instants if instant.name == "kswapd_wake"]
    assert {one.begin for one in kswapd.roots} <= {0, *wakes}


def test_a_death_for_lack_of_memory_is_an_instant() -> None:
    made, counters, tracks = told("killed")
    kills = [instant for instant in tracks["machine"].instants if instant.name == "oom_kill"]
    assert len(kills) == counters["oom_kill"] > 0
    assert {kill.arguments["task"] for kill in kills} <= {task["task"] for task in made.summary["tasks"]}


def test_a_cut_is_shown() -> None:
    tracks = decode(exported(Run.of(pressed({"most": 500}).run_to_end()), "perfetto"))
    (cut,) = tracks["machine"].instants
    assert cut.name == "timeline cut: too many spans"
    assert cut.arguments["dropped"] > 1000


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 1 << 32, (1 << 63) - 1, -1, -(1 << 63)])
def test_varints_are_those_of_the_protobuf_library(value: int) -> None:
    theirs: list[bytes] = []
    encoder._EncodeSignedVarint(theirs.append, value)
    assert varint(value) == b"".join(theirs)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=40), st.booleans())
def test_slices_on_a_lane_follow_or_enclose_one_another(spans: list[tuple[int, int]], apart: bool) -> None:
    slices = [Slice(begin, begin + length, "") for begin, length in spans]
    found = lanes(slices, apart)
    assert sorted(map(id, slices)) == sorted(id(one) for lane in found for one in lane)
    for lane in found:
        for i, one in enumerate(lane):
            for other in lane[i + 1 :]:
                follows = other.begin_ns >= one.end_ns
                assert follows or (not apart and one.begin_ns <= other.begin_ns and other.end_ns <= one.end_ns)
