"""Tracks: what viewers of timelines draw one below the other, made from a run's spans and time series.

On each track slices follow or enclose one another.  Requests of a disk that works on several at once lie on as many
tracks as it needs; anything else that should ever overlap goes to an overflow track, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from numa_sim.observe.timeline.spans import AT, DETAILS, FAULTS, KINDS, Kind, Timeline
from numa_sim.results.tables import timeline_of

if TYPE_CHECKING:
    from numa_sim.results.run import Run

__all__ = ["GROUPS", "Instant", "Slice", "Track", "tracks_of"]

GROUPS: Final = ("Machine", "CPUs", "Tasks", "Daemons", "Disks", "Nodes")
Arguments = tuple[tuple[str, int | str], ...]


@dataclass(slots=True)
class Slice:
    """Something that lasts; `flows` begin or pass here."""

    begin_ns: int
    end_ns: int
    name: str
    arguments: Arguments = ()
    flows: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Instant:
    """Something that happens; `ends` is the flow that ends here, 0: none."""

    t_ns: int
    name: str
    arguments: Arguments = ()
    ends: int = 0


@dataclass(slots=True)
class Track:
    """A row of the picture: slices and instants in order of time, or the values of a counter.

    Attributes
    ----------
    group : int
        Position in `GROUPS`.
    inner : bool
        Belongs below the track before it.
    unit : str
        Of a counter.
    """

    name: str
    group: int
    inner: bool = False
    slices: list[Slice] = field(default_factory=list)
    instants: list[Instant] = field(default_factory=list)
    counter: list[tuple[int, int | float]] = field(default_factory=list)
    unit: str = ""


def tracks_of(run: Run) -> list[Track]:
    """All tracks of a run, group by group.

    Raises
    ------
    RunFolderError
        If the run recorded no timeline.
    """
    timeline = timeline_of(run.spans)
    rows = _Rows(run, timeline)
    return [
        *rows.machine(),
        *rows.cpus(),
        *rows.tasks(),
        *rows.daemons(),
        *rows.disks(),
        *_node_counters(run),
    ]


def lanes(slices: Iterable[Slice], apart: bool = False) -> list[list[Slice]]:
    """Distribute slices so that in each list they follow or enclose one another; with `apart`, only follow."""
    found: list[list[Slice]] = []
    open_until: list[list[int]] = []  # of each lane, the ends of the slices still open, outermost first
    for one in sorted(slices, key=lambda s: (s.begin_ns, -s.end_ns)):
        at = next((n for n, ends in enumerate(open_until) if _has_room(ends, one, apart)), len(found))
        if at == len(found):
            found.append([])
            open_until.append([])
        found[at].append(one)
        open_until[at].append(one.end_ns)
    return found


def _has_room(ends: list[int], one: Slice, apart: bool) -> bool:
    """Whether a slice follows or lies in those that are open in a lane; those that have ended are closed."""
    while ends and ends[-1] <= one.begin_ns:
        ends.pop()
    return not ends or (not apart and one.end_ns <= ends[-1])


class _Rows:
    """The rows of a timeline, by what they belong to."""

    def __init__(self, run: Run, timeline: Timeline) -> None:
        self.timeline = timeline
        self.summary = run.summary
        self.name = {**timeline.daemons, **{task["task"]: task["name"] for task in run.summary["tasks"]}}
        self.turns_of_cpu = _grouped(timeline.of(Kind.RUNNING), _CPU)
        self.turns = _grouped(timeline.of(Kind.RUNNING), _TASK)
        self.off = _grouped(timeline.of(Kind.OFF_CPU), _TASK)
        self.in_kernel = _grouped(timeline.of(*FAULTS, Kind.DIRECT_RECLAIM), _TASK)
        self.waits = _grouped(timeline.of(Kind.PAGE_WAIT), _TASK)
        self.requests = _grouped(timeline.of(Kind.REQUEST), _DISK)
        self.work = _grouped(timeline.of(Kind.DAEMON_WORK), _TASK)
        self.flows: dict[int, list[int]] = {}  # of each request, those of the waits it ended
        self.flow_of: dict[int, int] = {}  # of each wait, by its row's identity
        kept = {row[13] for rows in self.requests.values() for row in rows}
        for rows in self.waits.values():
            for row in rows:
                if row[13] in kept:
                    self.flow_of[id(row)] = flow = len(self.flow_of) + 1
                    self.flows.setdefault(row[13], []).append(flow)
        self.instants: dict[str, list[Instant]] = {}  # by track
        for row in timeline.of(Kind.INSTANT).tolist():
            name = DETAILS[row[12]]
            arguments = tuple(zip(OPERANDS.get(name, ("a", "b")), (row[8], row[9]), strict=False))
            self.instants.setdefault(self._track_of(name, row), []).append(Instant(row[1], name, arguments))

    def _track_of(self, event: str, row: list[int]) -> str:
        """Where an instant is shown."""
        if event in _OF_ALL:
            return "machine"
        if event == "migrate_task":
            return f"cpu {row[9]}"
        daemon = "kswapd" if event in _OF_KSWAPD else _OF_DAEMONS.get(event) or self.timeline.daemons.get(row[4])
        return daemon if daemon is not None else f"task {row[4]}"

    def machine(self) -> list[Track]:
        """Deaths for lack of memory, and what of the timeline is missing."""
        instants = self.instants.get("machine", [])
        line = self.timeline
        if line.dropped:
            instants.append(Instant(line.cut_ns, "timeline cut: too many spans", (("dropped", line.dropped),)))
        if line.lost_events:
            instants.append(Instant(line.until_ns, "events lost", (("lost", line.lost_events),)))
        return [Track("machine", 0, instants=sorted(instants, key=lambda i: i.t_ns))]

    def cpus(self) -> list[Track]:
        """Who had each CPU."""
        tracks = []
        for cpu in self.summary["cpus"]:
            number, slices = cpu["cpu"], []
            for row in self.turns_of_cpu.get(number, ()):
                slices.append(Slice(row[1], row[2], self.name[row[4]], (("left for", DETAILS[row[12]]),)))
                if row[3] > row[1]:
                    slices.append(Slice(row[1], row[3], "context switch"))
            tracks += _laid_out(f"CPU {number} (node {cpu['node']})", 1, slices, self.instants.get(f"cpu {number}"))
        return tracks

    def tasks(self) -> list[Track]:
        """What each task did: whether it ran, and what it did in the kernel."""
        tracks = []
        for task in self.summary["tasks"]:
            index = task["task"]
            tracks += _laid_out(f"{task['name']} ({task['pid']})", 2, self._states(index))
            slices, ends = self._in_kernel(index)
            instants = sorted([*self.instants.get(f"task {index}", ()), *ends], key=lambda i: i.t_ns)
            tracks += _laid_out(f"{task['name']} in the kernel", 2, slices, instants, inner=True)
        return tracks

    def _states(self, task: int) -> list[Slice]:
        slices = [
            Slice(row[1], row[2], "running", (("cpu", row[5]), ("left for", DETAILS[row[12]])))
            for row in self.turns.get(task, ())
        ]
        for row in self.off.get(task, ()):
            if row[3] > row[1]:
                slices.append(Slice(row[1], row[3], _asleep(DETAILS[row[12]])))
            if row[2] > row[3]:
                slices.append(Slice(row[3], row[2], "run queue"))
        return slices

    def _in_kernel(self, task: int) -> tuple[list[Slice], list[Instant]]:
        """Faults, with reclaim and waits in them; a flow begins at the fault, or at the wait if that is in none."""
        rows = self.in_kernel.get(task, [])
        slices = [_reclaim(row) if row[0] == Kind.DIRECT_RECLAIM else _fault(row) for row in rows]
        faults = [one for one, row in zip(slices, rows, strict=True) if row[0] != Kind.DIRECT_RECLAIM]
        ends, at = [], 0
        for row in self.waits.get(task, ()):
            wait = Slice(row[1], row[2], "wait for page", (("frame", row[8]), ("request", row[13])))
            slices.append(wait)
            while at < len(faults) and faults[at].end_ns < wait.end_ns:
                at += 1
            if flow := self.flow_of.get(id(row), 0):
                inside = at < len(faults) and faults[at].begin_ns <= wait.begin_ns
                (faults[at] if inside else wait).flows.append(flow)
                ends.append(Instant(row[2], "page is here", (("frame", row[8]),), flow))
        return slices, ends

    def daemons(self) -> list[Track]:
        """When each kernel thread worked; kswapd also when it was awake."""
        tracks = []
        for task, name in sorted(self.timeline.daemons.items(), key=lambda item: item[1]):
            slices = [_work(row) for row in self.work.get(task, ())]
            instants = self.instants.get(name, [])
            if name == "kswapd":
                slices = [*self._awake(instants), *slices]
            if slices or instants:
                tracks += _laid_out(name, 3, slices, instants)
        return tracks

    def _awake(self, instants: list[Instant]) -> list[Slice]:
        """From each wake-up to the sleep that follows."""
        slices: list[Slice] = []
        since: int | None = self.timeline.from_ns
        for one in instants:
            if one.name == "kswapd_wake":
                since = one.t_ns
            elif one.name == "kswapd_sleep" and since is not None:
                if one.t_ns > since:
                    slices.append(Slice(since, one.t_ns, "awake"))
                since = None
        if since is not None and instants:
            slices.append(Slice(since, self.timeline.until_ns, "awake"))
        return slices

    def disks(self) -> list[Track]:
        """Requests of each disk, from submission to completion, with their time in the queue and on the drive."""
        tracks = []
        for disk in self.summary["disks"]:
            requests = []
            parts: dict[int, tuple[Slice, ...]] = {}
            for row in self.requests.get(disk["disk"], ()):
                arguments = (("block", row[8]), ("pages", row[9]), ("request", row[13]))
                request = Slice(row[1], row[2], DETAILS[row[12]], arguments, self.flows.get(row[13], []))
                requests.append(request)
                if row[3] > row[1]:
                    parts[id(request)] = (Slice(row[1], row[3], "queued"), Slice(row[3], row[2], "on the drive"))
            for n, lane in enumerate(lanes(requests, apart=True)):
                whole = [one for request in lane for one in (request, *parts.get(id(request), ()))]
                tracks.append(Track(f"{disk['name']}{f' ({n + 1})' if n else ''}", 4, slices=whole))
        return tracks


OPERANDS: Final = {
    "wakeup_kswapd": ("zone",),
    "swap_writepage": ("entry", "frame"),
    "oom_kill": ("task",),
    "migrate_task": ("task", "cpu"),
    "alloc_failed": ("node", "order"),
    "do_signal": ("task", "signal"),
    "fork": ("child",),
    "kswapd_wake": ("zones",),
    "swapon": ("area", "pages"),
    "swapoff": ("area",),
    **dict.fromkeys(("task_start", "task_exit", "kswapd_sleep", "kswapd_done", "wakeup_bdflush", "exec"), ()),
}
"""What the operands of instants are called."""
_OF_ALL: Final = ("oom_kill", "alloc_failed", "swapon", "swapoff")
_OF_KSWAPD: Final = ("kswapd_wake", "kswapd_sleep", "kswapd_done")
_OF_DAEMONS: Final = {"wakeup_bdflush": "bdflush", "wakeup_kreclaimd": "kreclaimd"}
_TASK, _CPU, _DISK = AT["task"], AT["cpu"], AT["disk"]


def _grouped(rows: Any, column: int) -> dict[int, list[list[int]]]:
    """Rows by the value of a column."""
    found: dict[int, list[list[int]]] = {}
    for row in rows.tolist():
        found.setdefault(row[column], []).append(row)
    return found


def _asleep(why: str) -> str:
    return "reclaim wait" if why == "direct_reclaim" else why.replace("_", " ")


def _fault(row: list[int]) -> Slice:
    arguments: Arguments = (("address", f"{row[8]:#x}"), ("write", row[9]), ("served by", DETAILS[row[12]]))
    if row[6] >= 0:
        arguments += (("node", row[6]),)
    if row[5] >= 0:
        arguments += (("cpu", row[5]),)
    return Slice(row[1], row[2], KINDS[row[0]].replace("_", " "), arguments)


def _reclaim(row: list[int]) -> Slice:
    return Slice(row[1], row[2], "direct reclaim", (("node", row[6]), ("scanned", row[10]), ("freed", row[11])))


def _work(row: list[int]) -> Slice:
    return Slice(row[1], row[2], "work", (("cpu", row[5]), ("scanned", row[10]), ("freed", row[11])))


def _laid_out(
    name: str, group: int, slices: list[Slice], instants: list[Instant] | None = None, inner: bool = False
) -> list[Track]:
    """A track, and overflow tracks for slices that overlap others of theirs without being enclosed."""
    first, *rest = lanes(slices) or [[]]
    tracks = [Track(name, group, inner, first, instants or [])]
    return tracks + [Track(f"{name} ({n})", group, True, lane) for n, lane in enumerate(rest, 2)]


_COUNTERS: Final = (
    ("free_pages", "pages"),
    ("active_pages", "pages"),
    ("inactive_pages", "pages"),
    ("cache_pages", "pages"),
    ("mean_latency_ns", "ns"),
)


def _node_counters(run: Run) -> list[Track]:
    """Pages, latency and bandwidth of each node, and the use of each swap area, at every sample."""
    series = run.timeseries.to_pydict()
    tracks = []
    for node in run.summary["nodes"]:
        mine = [i for i, number in enumerate(series["node"]) if number == node["node"]]
        for name, unit in _COUNTERS:
            values = [(series["t_ns"][i], series[name][i]) for i in mine if series[name][i] is not None]
            tracks.append(Track(f"{node['name']} {name}", 5, counter=values, unit=unit))
        tracks.append(Track(f"{node['name']} bandwidth", 5, counter=_bandwidth(series, mine), unit="MB/s"))
    swap = run.swap_series.to_pydict()
    for area in run.summary["swap_areas"]:
        used = [
            (t_ns, pages)
            for t_ns, number, pages in zip(swap["t_ns"], swap["area"], swap["used_pages"], strict=True)
            if number == area["area"]
        ]
        tracks.append(Track(f"swap {area['name']} used_pages", 5, counter=used, unit="pages"))
    return tracks


def _bandwidth(series: dict[str, Any], mine: list[int]) -> list[tuple[int, int | float]]:
    """MB/s between samples (64 bytes a line), at the begin of each interval; 0 at the last sample."""
    values: list[tuple[int, int | float]] = []
    for here, after in zip(mine, [*mine[1:], None], strict=True):
        rate = 0.0
        if after is not None:
            lines = series["lines_served"][after] - series["lines_served"][here]
            rate = round(lines * 64e3 / (series["t_ns"][after] - series["t_ns"][here]), 3)
        values.append((series["t_ns"][here], rate))
    return values
