"""Records a timeline while a machine runs: what tasks, CPUs, daemons and disks tell, and what the event log holds.

Nobody is told anything unless ``run.timeline`` is on: ``machine.timeline`` is None then, and that is all it costs.
What is recorded changes nothing: no event, no time, no state that is hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from numa_sim.compiled import entry
from numa_sim.config.run import TimelineTable
from numa_sim.hardware.loop import HORIZON, run_hardware
from numa_sim.observe.timeline.from_events import LOG_EVENTS, EventReader, Fault
from numa_sim.observe.timeline.recorder import Recorder
from numa_sim.observe.timeline.spans import AT, DETAIL, FAULTS, Kind, Timeline
from numa_sim.state.answers import FAULT_MAJOR, FAULT_MINOR
from numa_sim.state.constants import (
    IO_READ,
    KSWAPD,
    TASK_BDFLUSH,
    TASK_KRECLAIMD,
    TASK_KUPDATE,
    TASK_RUNNING,
    TASK_SLEEPING,
)
from numa_sim.state.counters import PGSCAN_DIRECT, PGSCAN_KSWAPD, PGSTEAL_DIRECT, PGSTEAL_KSWAPD, TIME_PARTS

if TYPE_CHECKING:
    from numa_sim.processes.block import Request
    from numa_sim.processes.cpu import Cpu
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.runnable import Runnable, Steps
    from numa_sim.processes.task import TaskProcess

_run_hardware = entry(run_hardware)

FOREVER_NS: Final = 1 << 62
_EVENTS_PER_US: Final = 16
"""What one CPU may log in a microsecond, generously: three faults with four events each."""
_EXIT, _SLICE_END, _YIELD = DETAIL["task_exit"], DETAIL["slice_end"], DETAIL["yield"]


class MachineTimeline:
    """What a machine tells its timeline.

    Parameters
    ----------
    machine : Machine
        Built, its log with room for `LOG_EVENTS` more events than ``run.record_events``.
    table : TimelineTable
        ``run.timeline``.
    """

    def __init__(self, machine: Machine, table: TimelineTable) -> None:
        self._machine = machine
        k = machine.kernel
        until_ns = FOREVER_NS if table.until is None else table.until
        self._recorder = Recorder(table.start, until_ns, table.most)
        self._log = EventReader(k, self._recorder, machine.config.run.record_events)
        self.keep_up = self._log.keep_up
        self._vmstat = k.vmstat.view(np.ndarray)
        self._stride_ns = max(1000, LOG_EVENTS * 500 // (_EVENTS_PER_US * len(k.cpus)))
        self._left: dict[int, tuple[int, int]] = {}  # by task: when it left its CPU, and why
        self._woken_ns: dict[int, int] = {}
        self._reclaims: dict[int, list[int]] = {}  # by task: begin, node, scanned, freed
        self._work: dict[int, list[int]] = {}  # by daemon: begin, end, CPU, scanned, freed
        self._kswapd_seen = (0, 0)
        self._requests = 0
        self._request_of: dict[int, int] = {}  # by frame: the request that ended the waits for it

    def advance(self, next_ns: int) -> int:
        """`run_hardware` up to `next_ns`, in strides after which the log has certainly still room."""
        horizon_ns = self._machine.now_ns
        while True:
            horizon_ns = min(next_ns, horizon_ns + self._stride_ns)
            stopped = int(_run_hardware.call(self._machine.kernel, horizon_ns))
            self.keep_up()
            if stopped != HORIZON or horizon_ns == next_ns:
                return stopped

    # CPUs ------------------------------------------------------------------------------------------------------------

    def woke(self, task: Runnable) -> None:
        """`task` is runnable from now on."""
        self._woken_ns[task.index] = self._machine.now_ns

    def ran(self, cpu: Cpu, task: Runnable, taken_ns: int, left_ns: int) -> None:
        """`task` leaves `cpu`, which it has had since `taken_ns`, at `left_ns`."""
        self._was_off(task.index, taken_ns)
        why = self._why(cpu, task)
        self._recorder.add(
            Kind.RUNNING, taken_ns, left_ns, taken_ns + task.switch_ns, task.index, cpu.number, cpu.node, detail=why
        )
        if why == _EXIT:  # its row may have another task one day
            self._left.pop(task.index, None)
            self._woken_ns.pop(task.index, None)
        else:
            self._left[task.index] = (left_ns, why)

    def _was_off(self, task: int, until_ns: int) -> None:
        """The time of a task between two turns on CPUs, or before the first."""
        woken_ns = self._woken_ns.get(task, until_ns)
        begin_ns, why = self._left.get(task, (woken_ns, 0))
        if until_ns > begin_ns:
            middle_ns = min(max(woken_ns, begin_ns), until_ns)
            self._recorder.add(Kind.OFF_CPU, begin_ns, until_ns, middle_ns, task, detail=why)

    def _why(self, cpu: Cpu, task: Runnable) -> int:
        state = task.record.state
        if state == TASK_RUNNING:
            return _SLICE_END if self._machine.now_ns >= cpu.record.slice_end_ns else _YIELD
        return DETAIL[TIME_PARTS[task.doing]] if state == TASK_SLEEPING else _EXIT

    # Tasks in the kernel ---------------------------------------------------------------------------------------------

    def fault(self, task: TaskProcess, steps: Steps) -> Steps:
        """Let `task` finish the page fault that stopped the hardware, and note how long that takes."""
        record, machine = task.record, self._machine
        fault = Fault(task.index, machine.now_ns, int(record.fault_vpn), int(record.fault_write))
        self._log.stopped[task.index] = fault
        yield from steps
        fault.end_ns, status = machine.now_ns, record.fault_status
        if status == FAULT_MINOR or status == FAULT_MAJOR:
            assert task.cpu is not None
            fault.end_ns = max(fault.end_ns, int(task.cpu.record.clock_ns))
            fault.kind = Kind.MINOR_FAULT if status == FAULT_MINOR else Kind.MAJOR_FAULT
        else:
            fault.kind = Kind.FAILED_FAULT
        self._log.ended(fault)

    def reclaiming(self, task: Runnable, run: Callable[[int], int]) -> Callable[[int], int]:
        """`task` begins to reclaim: `run`, which also counts what it scans and frees."""
        node = int(task.record.alloc_node) % len(self._vmstat)
        sums = self._reclaims[task.index] = [self._machine.now_ns, node, 0, 0]

        def counted(index: int) -> int:
            before = self._vmstat[:, [PGSCAN_DIRECT, PGSTEAL_DIRECT]].sum(0)
            status = run(index)
            scanned, freed = self._vmstat[:, [PGSCAN_DIRECT, PGSTEAL_DIRECT]].sum(0) - before
            sums[2] += int(scanned)
            sums[3] += int(freed)
            return status

        return counted

    def reclaimed(self, task: int) -> None:
        """`task` ends its reclaim."""
        begin_ns, node, scanned, freed = self._reclaims.pop(task)
        self._recorder.add(
            Kind.DIRECT_RECLAIM, begin_ns, self._machine.now_ns, begin_ns, task, node=node, scanned=scanned, freed=freed
        )

    def waited(self, task: int, pfn: int, since_ns: int, part: int) -> None:
        """`task` has slept since `since_ns` until the I/O on a page ended, just now."""
        self._recorder.add(
            Kind.PAGE_WAIT,
            since_ns,
            self._machine.now_ns,
            since_ns,
            task,
            where=pfn,
            detail=DETAIL[TIME_PARTS[part]],
            request=self._request_of.get(pfn, -1),
        )

    # Disks and daemons -----------------------------------------------------------------------------------------------

    def completed(self, disk: int, request: Request, awaited: Container[int]) -> None:
        """A disk is done with `request`; somebody waits for the frames `awaited`."""
        number = self._requests
        self._requests += 1
        for pfn in request.pfns:
            if pfn in awaited:
                self._request_of[pfn] = number
        self._recorder.add(
            Kind.REQUEST,
            request.submitted_ns,
            self._machine.now_ns,
            request.given_ns,
            disk=disk,
            where=request.block,
            pages=len(request.pfns),
            detail=DETAIL["read" if request.op == IO_READ else "write"],
            request=number,
        )

    def worked(self, daemon: int, cpu: Cpu, cost_ns: int) -> None:
        """A kernel thread begins `cost_ns` of work on `cpu`; what follows at once there is the same span."""
        now_ns, scanned, freed = self._machine.now_ns, 0, 0
        if daemon == KSWAPD:
            seen = self._vmstat[:, [PGSCAN_KSWAPD, PGSTEAL_KSWAPD]].sum(0).tolist()
            scanned, freed = seen[0] - self._kswapd_seen[0], seen[1] - self._kswapd_seen[1]
            self._kswapd_seen = (seen[0], seen[1])
        work = self._work.get(daemon)
        if work is not None and work[1] == now_ns and work[2] == cpu.number:
            work[1] += cost_ns
            work[3] += scanned
            work[4] += freed
            return
        self._add_work(daemon)
        self._work[daemon] = [now_ns, now_ns + cost_ns, cpu.number, scanned, freed]

    def _add_work(self, daemon: int) -> None:
        if daemon in self._work:
            begin_ns, end_ns, cpu, scanned, freed = self._work.pop(daemon)
            self._recorder.add(Kind.DAEMON_WORK, begin_ns, end_ns, begin_ns, daemon, cpu, scanned=scanned, freed=freed)

    # The end ---------------------------------------------------------------------------------------------------------

    def finish(self) -> Timeline:
        """The run is over: everything recorded; what is still under way ends now."""
        machine, recorder = self._machine, self._recorder
        for daemon in sorted(self._work):
            self._add_work(daemon)
        for task in sorted(self._reclaims):
            self.reclaimed(task)
        for fault in list(self._log.stopped.values()):
            fault.end_ns = machine.now_ns
            self._log.ended(fault)
        self._add_tasks_alive()
        self._log.read()
        machine.vm.record_events = int(machine.config.run.record_events > 0)
        tasks = len(machine.kernel.tasks)
        daemons = {KSWAPD: "kswapd", tasks + TASK_BDFLUSH: "bdflush", tasks + TASK_KUPDATE: "kupdate"}
        daemons[tasks + TASK_KRECLAIMD] = "kreclaimd"
        return Timeline(
            _with_cpus(recorder.rows()),
            daemons,
            recorder.from_ns,
            min(recorder.until_ns, machine.now_ns),
            recorder.cut_ns,
            recorder.dropped,
            self._log.lost,
        )

    def _add_tasks_alive(self) -> None:
        machine = self._machine
        for cpu in machine.cpus:
            task = cpu.current
            if task is not None:
                begin_ns, end_ns = cpu.taken_ns, max(cpu.taken_ns, machine.now_ns)
                self._was_off(task.index, begin_ns)
                self._recorder.add(
                    Kind.RUNNING,
                    begin_ns,
                    end_ns,
                    min(begin_ns + task.switch_ns, end_ns),
                    task.index,
                    cpu.number,
                    cpu.node,
                    detail=DETAIL["still running"],
                )
                self._left.pop(task.index, None)
        for index in sorted(self._left):
            if machine.rows[index].record.state == TASK_SLEEPING:
                self._woken_ns[index] = machine.now_ns
            self._was_off(index, machine.now_ns)


def _with_cpus(rows: Any) -> Any:
    """Rows with the CPU of each fault and instant, where its task had one then."""
    task_at, cpu_at, begin_at = AT["task"], AT["cpu"], AT["begin_ns"]
    running = rows[rows[:, 0] == Kind.RUNNING]
    unknown = np.isin(rows[:, 0], (*FAULTS, Kind.INSTANT, Kind.DIRECT_RECLAIM)) & (rows[:, cpu_at] < 0)
    for task in np.unique(rows[unknown, task_at]).tolist():
        turns = running[running[:, task_at] == task]
        mine = np.flatnonzero(unknown & (rows[:, task_at] == task))
        last = np.searchsorted(turns[:, begin_at], rows[mine, begin_at], side="right") - 1
        known = last >= 0
        turn = turns[last[known]]
        inside = rows[mine[known], begin_at] <= turn[:, AT["end_ns"]]
        rows[mine[known][inside], cpu_at] = turn[inside, cpu_at]
    return rows
