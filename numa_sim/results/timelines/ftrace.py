"""A timeline as text, line by line as ftrace prints it, with the names and fields of the kernel's tracepoints.

The kernels modelled had no tracepoints: the names are those of Linux 6.x for the same thing.  What has no tracepoint
there is a mark (``tracing_mark_write``, what a program writes to ``trace_marker``) with the name of the 2.4 function
(``wakeup_bdflush``).  Fields of which the model knows nothing (instruction pointer, gfp flags, priority) are 0,
``none`` and 120; times have nine decimals, as ``trace-cmd report -t`` prints them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from numa_sim.observe.timeline.spans import DETAILS, FAULTS, Kind, Timeline
from numa_sim.results.tables import timeline_of
from numa_sim.results.timelines.tracks import OPERANDS
from numa_sim.state.constants import NR_ZONES, PAGE_SIZE

if TYPE_CHECKING:
    from numa_sim.results.run import Run

__all__ = ["ftrace_text"]

_COMM_LENGTH: Final = 15
_SECTORS: Final = PAGE_SIZE // 512
_PRESENT, _WRITE, _USER = 1, 2, 4
_UNINTERRUPTIBLE: Final = ("swap_wait", "file_wait", "direct_reclaim", "lock_wait")
_RUNNABLE: Final = ("slice_end", "yield", "still running")
_HEADER: Final = """\
# tracer: nop
#
# entries-in-buffer/entries-written: {n}/{written}   #P:{cpus}
#
#           TASK-PID     CPU#  |||||     TIMESTAMP     FUNCTION
#              | |         |   |||||         |            |
"""


class _Line(NamedTuple):
    """One event; those of the same time are in the order of `rank`: wake-ups, switches, the rest."""

    t_ns: int
    rank: int
    task: int
    cpu: int
    event: str
    fields: str


def ftrace_text(run: Run) -> str:
    """The timeline of a run as the text of ``/sys/kernel/tracing/trace``.

    Raises
    ------
    RunFolderError
        If the run recorded no timeline.
    """
    timeline = timeline_of(run.spans)
    who = _Who(run, timeline)
    makers: tuple[Callable[[Timeline, _Who], Iterator[_Line]], ...] = (_switches, _wakeups, _faults, _blocks, _instants)
    lines = sorted((line for make in makers for line in make(timeline, who)), key=lambda line: line[:2])
    head = _HEADER.format(n=len(lines), written=len(lines) + timeline.dropped, cpus=len(run.summary["cpus"]))
    return head + "".join(map(who.printed, lines))


class _Who:
    """Names and numbers of tasks; -1 is the idle task."""

    def __init__(self, run: Run, timeline: Timeline) -> None:
        self._known = {task["task"]: (task["name"][:_COMM_LENGTH], task["pid"]) for task in run.summary["tasks"]}
        self._known |= {task: (name, task) for task, name in timeline.daemons.items()}

    def of(self, task: int, cpu: int = 0) -> tuple[str, int]:
        """Name and pid."""
        return self._known.get(task, (f"swapper/{max(cpu, 0)}", 0))

    def printed(self, line: _Line) -> str:
        """The line as text."""
        name, pid = self._known.get(line.task, ("<idle>", 0))
        seconds, rest_ns = divmod(line.t_ns, 1_000_000_000)
        head = f"{name:>16}-{pid:<7} [{max(line.cpu, 0):03d}] ..... {seconds:5d}.{rest_ns:09d}: {line.event}:"
        return f"{head} {line.fields}\n" if line.fields else f"{head}\n"


def _switches(timeline: Timeline, who: _Who) -> Iterator[_Line]:
    """sched_switch wherever a CPU changes hands, the idle task in between; sched_migrate_task."""
    before: dict[int, list[int]] = {}  # by CPU
    cpu_of: dict[int, int] = {}
    for row in timeline.of(Kind.RUNNING).tolist():
        task, cpu = row[4], row[5]
        last = before.get(cpu)
        if cpu_of.get(task, cpu) != cpu:
            name, pid = who.of(task)
            moved = f"comm={name} pid={pid} prio=120 orig_cpu={cpu_of[task]} dest_cpu={cpu}"
            yield _Line(row[1], 1, task, cpu, "sched_migrate_task", moved)
        cpu_of[task] = cpu
        if last is not None and last[2] < row[1]:
            yield _switch(last[2], cpu, last, -1, who)
            last = None
        yield _switch(row[1], cpu, last, task, who)
        before[cpu] = row
    for cpu, last in sorted(before.items()):
        if DETAILS[last[12]] != "still running":
            yield _switch(last[2], cpu, last, -1, who)


def _switch(t_ns: int, cpu: int, last: list[int] | None, task: int, who: _Who) -> _Line:
    before = -1 if last is None else last[4]
    why = "" if last is None else DETAILS[last[12]]
    state = "R" if last is None or why in _RUNNABLE else "D" if why in _UNINTERRUPTIBLE else "S"
    if why == "task_exit":
        state = "X"
    old, new = who.of(before, cpu), who.of(task, cpu)
    fields = f"prev_comm={old[0]} prev_pid={old[1]} prev_prio=120 prev_state={state} ==> "
    return _Line(t_ns, 2, before, cpu, "sched_switch", fields + f"next_comm={new[0]} next_pid={new[1]} next_prio=120")


def _wakeups(timeline: Timeline, who: _Who) -> Iterator[_Line]:
    """sched_wakeup of those that slept; sched_wakeup_new once of each task that began, before its first turn."""
    turns = {(row[4], row[1]): row for row in timeline.of(Kind.RUNNING).tolist()}
    began: set[tuple[int, int]] = set()  # task, begin of its first turn
    for row in timeline.of(Kind.OFF_CPU).tolist():
        why, turn = DETAILS[row[12]], turns.get((row[4], row[2]))
        if why not in _RUNNABLE and turn is not None:
            if not why:
                began.add((row[4], row[2]))
            yield _wakeup("sched_wakeup" if why else "sched_wakeup_new", row[3], row[4], turn[5], who)
    starts = sorted((row[4], row[1]) for row in timeline.of(Kind.INSTANT).tolist() if DETAILS[row[12]] == "task_start")
    in_order = sorted(turns)
    for start in starts:
        at = bisect_right(in_order, start) - 1
        if at >= 0 and in_order[at][0] == start[0] and in_order[at] not in began:  # it got a CPU at once
            task, begin_ns = in_order[at]
            yield _wakeup("sched_wakeup_new", begin_ns, task, turns[in_order[at]][5], who)


def _wakeup(event: str, t_ns: int, task: int, cpu: int, who: _Who) -> _Line:
    name, pid = who.of(task)
    return _Line(t_ns, 1, -1, cpu, event, f"comm={name} pid={pid} prio=120 target_cpu={cpu:03d}")


def _faults(timeline: Timeline, who: _Who) -> Iterator[_Line]:
    for row in timeline.of(*FAULTS).tolist():
        code = _USER | (_WRITE if row[9] else 0) | (_PRESENT if DETAILS[row[12]] == "do_wp_page" else 0)
        yield _Line(row[1], 3, row[4], row[5], "page_fault_user", f"address={row[8]:#x} ip=0x0 error_code={code:#x}")
    for row in timeline.of(Kind.DIRECT_RECLAIM).tolist():
        begin, end = "mm_vmscan_direct_reclaim_begin", "mm_vmscan_direct_reclaim_end"
        yield _Line(row[1], 4, row[4], row[5], begin, "order=0 gfp_flags=none")
        yield _Line(row[2], 4, row[4], row[5], end, f"nr_reclaimed={row[11]}")


def _blocks(timeline: Timeline, who: _Who) -> Iterator[_Line]:
    for row in timeline.of(Kind.REQUEST).tolist():
        kind = "R" if DETAILS[row[12]] == "read" else "W"
        device, size = f"8,{16 * row[7]}", row[9] * PAGE_SIZE
        where = f"{row[8] * _SECTORS} + {row[9] * _SECTORS}"
        for t_ns, event in ((row[1], "block_rq_insert"), (row[3], "block_rq_issue")):
            yield _Line(t_ns, 5, -1, 0, event, f"{device} {kind} {size} () {where} [swapper/0]")
        yield _Line(row[2], 5, -1, 0, "block_rq_complete", f"{device} {kind} () {where} [0]")


def _instants(timeline: Timeline, who: _Who) -> Iterator[_Line]:
    for row in timeline.of(Kind.INSTANT).tolist():
        name, a, b = DETAILS[row[12]], row[8], row[9]
        if name in ("migrate_task", "task_start"):
            continue  # told by the turns themselves
        fields = " ".join(f"{key}={value}" for key, value in zip(OPERANDS.get(name, ("a", "b")), (a, b), strict=False))
        comm, pid = who.of(row[4])
        event, written = {
            "kswapd_wake": ("mm_vmscan_kswapd_wake", "nid=0 order=0"),
            "kswapd_sleep": ("mm_vmscan_kswapd_sleep", "nid=0"),
            "wakeup_kswapd": ("mm_vmscan_wakeup_kswapd", f"nid={a // NR_ZONES} order=0 gfp_flags=none"),
            "swap_writepage": ("mm_vmscan_write_folio", f"pfn={b:#x} flags=RECLAIM_WB_ANON|RECLAIM_WB_ASYNC"),
            "oom_kill": ("mark_victim", f"pid={who.of(a)[1]}"),
            "task_exit": ("sched_process_exit", f"comm={comm} pid={pid} prio=120"),
            "fork": ("sched_process_fork", "comm={} pid={} child_comm={} child_pid={}".format(comm, pid, *who.of(a))),
            "exec": ("sched_process_exec", f"filename={comm} pid={pid} old_pid={pid}"),
            "do_signal": ("signal_deliver", f"sig={b} errno=0 code=0 sa_handler=0 sa_flags=0"),
        }.get(name, ("tracing_mark_write", f"{name} {fields}".rstrip()))
        yield _Line(row[1], 3, row[4], row[5], event, written)
