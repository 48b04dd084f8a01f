"""Chrome's JSON by its rules, and ftrace's text by a parser of such lines: both tell what the Perfetto trace tells."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from functools import cache
from typing import Any

import pytest
from timelines import recorded
from timelines.recorded import MACHINES, seen

from numa_sim.errors import ConfigError, RunFolderError
from numa_sim.results import Run
from numa_sim.results.timelines import FORMATS, exported

NAMES = ("2.4.37", "2.2", "fork", "files", "killed", "balanced", "stopped")
LINE = re.compile(
    r"^\s*(?P<comm>.{1,16}?)-(?P<pid>\d+)\s+\[(?P<cpu>\d{3})\]\s(?P<flags>\S{4,5})\s+(?P<s>\d+)\.(?P<ns>\d{6,9}):\s"
    r"(?P<event>\w+):\s?(?P<fields>.*)$"
)
"""As trace-cmd, perf script's readers and Perfetto's own importer take a line apart."""


@cache
def chrome(name: str) -> list[dict[str, Any]]:
    document = json.loads(exported(seen(name), "chrome"))
    assert set(document) == {"traceEvents", "displayTimeUnit"}
    return document["traceEvents"]  # type: ignore[no-any-return]


@cache
def ftrace(name: str) -> list[dict[str, str]]:
    lines = exported(seen(name), "ftrace").decode().splitlines()
    assert lines[0] == "# tracer: nop"
    parsed = [LINE.match(line) for line in lines if not line.startswith("#")]
    assert all(parsed)
    return [match.groupdict() for match in parsed if match]


def ns(us: float) -> int:
    assert round(us * 1000) == pytest.approx(us * 1000, abs=1e-3), "exact to the nanosecond"
    return round(us * 1000)


@pytest.mark.parametrize("name", NAMES)
def test_chrome_events_have_what_their_phase_needs(name: str) -> None:
    for event in chrome(name):
        assert {"ph", "name", "pid", "tid"} <= set(event)
        needed = {"X": {"ts", "dur"}, "i": {"ts", "s"}, "C": {"ts", "args"}, "M": {"args"}}
        needed |= {phase: {"ts", "id", "cat"} for phase in "stf"}
        assert needed[event["ph"]] <= set(event)
        assert event.get("dur", 0) >= 0
        assert event.get("ts", 0) >= 0


@pytest.mark.parametrize("name", NAMES)
def test_chrome_and_perfetto_tell_the_same(name: str) -> None:
    tracks = recorded.tracks(name)
    threads = {event["tid"]: event["args"]["name"] for event in chrome(name) if event["name"] == "thread_name"}
    theirs = Counter((t.name, s.name, s.begin, s.end) for t in tracks.values() for s in t.slices)
    ours = Counter(
        (threads[e["tid"]], e["name"], ns(e["ts"]), ns(e["ts"]) + ns(e["dur"])) for e in chrome(name) if e["ph"] == "X"
    )
    assert ours == theirs
    instants = Counter((t.name, i.name, i.t) for t in tracks.values() for i in t.instants)
    assert Counter((threads[e["tid"]], e["name"], ns(e["ts"])) for e in chrome(name) if e["ph"] == "i") == instants
    values = Counter((t.name, at, value) for t in tracks.values() for at, value in t.counter)
    counts = (e for e in chrome(name) if e["ph"] == "C")
    assert Counter((e["name"], ns(e["ts"]), next(iter(e["args"].values()))) for e in counts) == values


@pytest.mark.parametrize("name", ["2.4.37", "files"])
def test_chrome_flows_start_step_and_finish_on_slices(name: str) -> None:
    slices: dict[int, list[tuple[int, int]]] = defaultdict(list)
    flows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for event in chrome(name):
        if event["ph"] == "X":
            slices[event["tid"]].append((ns(event["ts"]), ns(event["ts"]) + ns(event["dur"])))
        elif event["ph"] in "stf":
            flows[event["id"]].append(event)
    assert len(flows) > 50
    begun = {tid: sorted(spans) for tid, spans in slices.items()}
    for flow in flows.values():
        assert sorted(event["ph"] for event in flow) == ["f", "s", "t"]
        start, finish = (next(event for event in flow if event["ph"] == phase) for phase in "sf")
        assert all(start["ts"] <= event["ts"] <= finish["ts"] for event in flow)
        assert finish["bp"] == "e"
        for event in flow:
            at, spans = ns(event["ts"]), begun[event["tid"]]
            found = spans[bisect_right(spans, (at, 1 << 62)) - 1]
            assert event["ph"] != "s" or found[0] == at, "a flow starts with a slice"
            assert found[0] <= at


@pytest.mark.parametrize("name", NAMES)
def test_ftrace_lines_are_in_order_and_as_many_as_the_counters_say(name: str) -> None:
    made, counters = seen(name), recorded.counters(name)
    times = [int(line["s"]) * 10**9 + int(line["ns"]) for line in ftrace(name)]
    assert times == sorted(times)
    events = Counter(line["event"] for line in ftrace(name))
    failed = len(made.to_pandas("spans").query("kind in ('failed_fault', 'unfinished_fault')"))
    assert events["page_fault_user"] == counters["pgfault"] + failed
    assert events["mm_vmscan_direct_reclaim_begin"] == counters["allocstall"]
    requests = sum(disk["reads"] + disk["writes"] for disk in made.summary["disks"])
    for event in ("block_rq_insert", "block_rq_issue", "block_rq_complete"):
        assert events[event] == requests
    assert events["mark_victim"] == counters["oom_kill"]
    assert events["sched_process_fork"] == counters["forks"]
    sectors = sum(disk["sectors_read"] for disk in made.summary["disks"])
    done = [line["fields"].split() for line in ftrace(name) if line["event"] == "block_rq_complete"]
    assert sum(int(words[5]) for words in done if words[1] == "R") == sectors


@pytest.mark.parametrize("name", NAMES)
def test_ftrace_switches_form_a_chain_on_every_cpu(name: str) -> None:
    running: dict[str, str] = {}
    for line in ftrace(name):
        if line["event"] != "sched_switch":
            continue
        fields = dict(re.findall(r"(\w+)=(\S+)", line["fields"]))
        assert fields["prev_pid"] == running.get(line["cpu"], "0")
        assert fields["prev_pid"] == line["pid"]
        assert fields["prev_state"] in ("R", "S", "D", "X")
        running[line["cpu"]] = fields["next_pid"]
    assert name == "stopped" or set(running.values()) == {"0"}


TRACEPOINTS = {
    "block": "block_rq_complete block_rq_insert block_rq_issue",
    "exceptions": "page_fault_user",
    "ftrace": "tracing_mark_write",  # what is written to trace_marker: all that has no tracepoint
    "oom": "mark_victim",
    "sched": "sched_migrate_task sched_process_exec sched_process_exit sched_process_fork sched_switch sched_wakeup "
    "sched_wakeup_new",
    "signal": "signal_deliver",
    "vmscan": "mm_vmscan_direct_reclaim_begin mm_vmscan_direct_reclaim_end mm_vmscan_kswapd_sleep "
    "mm_vmscan_kswapd_wake mm_vmscan_wakeup_kswapd mm_vmscan_write_folio",
}
"""Events of Linux 6.6 (/sys/kernel/tracing/available_events) by their system, as far as they are used."""
MARKS = {
    "alloc_failed", "kswapd_done", "swapoff", "swapon", "wakeup_bdflush", "wakeup_kreclaimd",
}  # fmt: skip
"""What goes without a tracepoint."""


@pytest.mark.parametrize("name", [*NAMES, "2.4.0"])
def test_ftrace_names_are_events_that_kernels_of_today_have(name: str) -> None:
    known = {event for events in TRACEPOINTS.values() for event in events.split()}
    assert {line["event"] for line in ftrace(name)} <= known
    marks = {line["fields"].split()[0] for line in ftrace(name) if line["event"] == "tracing_mark_write"}
    assert marks <= MARKS
    assert name != "killed" or "signal_deliver" in {line["event"] for line in ftrace(name)}


@pytest.mark.parametrize("name", ["2.4.37", "fork", "balanced"])
def test_ftrace_tells_each_beginning_of_a_task_once_before_its_first_turn(name: str) -> None:
    begun: list[str] = []
    for line in ftrace(name):
        fields = dict(re.findall(r"(\w+)=(\S+)", line["fields"]))
        if line["event"] == "sched_wakeup_new":
            begun.append(fields["pid"])
        elif line["event"] == "sched_switch" and int(fields["next_pid"]) >= 100:
            assert fields["next_pid"] in begun
    assert sorted(begun) == sorted(str(task["pid"]) for task in seen(name).summary["tasks"])


def test_ftrace_reclaim_begins_and_ends_in_turn() -> None:
    inside: set[str] = set()
    freed = 0
    for line in ftrace("2.4.37"):
        if line["event"] == "mm_vmscan_direct_reclaim_begin":
            assert line["pid"] not in inside
            inside.add(line["pid"])
        elif line["event"] == "mm_vmscan_direct_reclaim_end":
            inside.remove(line["pid"])
            freed += int(line["fields"].removeprefix("nr_reclaimed="))
    assert not inside
    assert freed == recorded.counters("2.4.37")["pgsteal_direct"]


def test_a_run_without_a_timeline_says_how_to_record_one() -> None:
    made = Run.of(MACHINES["fork"](False).run_to_end())
    for form in FORMATS:
        with pytest.raises(RunFolderError, match=r"run.timeline = true"):
            exported(made, form)
    with pytest.raises(ConfigError, match="perfetto"):
        exported(made, "svg")
