"""What the kernel's event log tells a timeline: faults that never stopped the hardware, and instants.

The log is a buffer behind the events that ``run.record_events`` keeps.  It is read, and used again, before it is full.

A fault that the hardware loop serves by itself leaves its begin there, but not its end.  Its span gets the cost of its
kind, so that is the *least* it can have taken: waits for spinlocks, page tables it allocated, the slow path of the
allocator and shoot-downs come on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from numa_sim.observe.timeline.recorder import Recorder
from numa_sim.observe.timeline.spans import AT, COLUMNS, DETAIL, Kind
from numa_sim.state.constants import KERNEL_2_4_0, NR_ZONES, PAGE_SHIFT
from numa_sim.state.event_codes import (
    EV_DO_ANONYMOUS_PAGE,
    EV_DO_NO_PAGE,
    EV_DO_SWAP_PAGE,
    EV_DO_WP_PAGE,
    EV_SWAP_CACHE_HIT,
    EV_ZERO_PAGE,
    EVENTS,
)
from numa_sim.state.kernel import Kernel
from numa_sim.state.rows import row

__all__ = ["INSTANTS", "LOG_EVENTS", "EventReader", "Fault"]

LOG_EVENTS: Final = 1 << 18
"""Events the buffer holds (40 bytes each)."""
_READ_AT: Final = 1 << 12
FAULT_EVENTS: Final = (EV_DO_ANONYMOUS_PAGE, EV_ZERO_PAGE, EV_DO_WP_PAGE, EV_DO_SWAP_PAGE, EV_DO_NO_PAGE)
INSTANTS: Final = (
    "wakeup_kswapd", "kswapd_wake", "kswapd_sleep", "kswapd_done", "wakeup_bdflush", "wakeup_kreclaimd", "alloc_failed",
    "swap_writepage", "oom_kill", "migrate_task", "task_start", "task_exit", "fork", "exec", "do_signal", "swapon",
    "swapoff",
)  # fmt: skip
"""Events that are shown as instants."""
_INSTANTS: Final = np.array([EVENTS.index(name) for name in INSTANTS])
_DETAIL_OF: Final = np.array([DETAIL[name] for name in EVENTS])


@dataclass
class Fault:
    """A fault that stopped the hardware; `event`: the code and frame with which the log says it was served."""

    task: int
    begin_ns: int
    vpn: int
    write: int
    end_ns: int = -1
    kind: Kind = Kind.UNFINISHED_FAULT
    event: tuple[int, int] | None = None


class EventReader:
    """Reads the log of one machine.

    Parameters
    ----------
    k : Kernel
        Made with room for ``kept`` and `LOG_EVENTS` more events; its ``vm.record_events`` is on.
    recorder : Recorder
        Gets what is found.
    kept : int
        Events at the beginning of the log that are not ours.

    Attributes
    ----------
    stopped : dict of int to Fault
        Faults under way that stopped the hardware, by task.
    lost : int
        Events that found no room.
    """

    def __init__(self, k: Kernel, recorder: Recorder, kept: int) -> None:
        self._k = k
        self._recorder = recorder
        self._kept = kept
        self._vm = row(k.vm, 0)
        self._log = k.events.view(np.ndarray)
        self._read = self._counted = 0
        self.lost = 0
        self.stopped: dict[int, Fault] = {}
        self._ended: list[Fault] = []
        costs = k.costs[0]
        self._least_ns = np.zeros(len(EVENTS), np.int64)
        self._least_ns[EV_DO_ANONYMOUS_PAGE] = costs.minor_fault_ns + costs.clear_page_ns
        self._least_ns[EV_ZERO_PAGE] = costs.zero_page_fault_ns
        self._least_ns[[EV_DO_WP_PAGE, EV_DO_NO_PAGE]] = costs.minor_fault_ns
        self._least_ns[EV_DO_SWAP_PAGE] = costs.swap_fault_ns
        self._late = int(self._vm.profile) > KERNEL_2_4_0

    def keep_up(self) -> None:
        """Read the log if there is much in it."""
        if self._vm.events_used - self._read >= _READ_AT:
            self.read()

    def ended(self, fault: Fault) -> None:
        """A fault that stopped the hardware is over; its span is made when the log is read."""
        del self.stopped[fault.task]
        self._ended.append(fault)

    def read(self) -> None:
        """Take what has come since the last time, and let the log go on from where it may."""
        vm = self._vm
        used, count = int(vm.events_used), int(vm.event_count)
        self.lost += count - self._counted - (used - self._read)
        events = self._log[self._read : used].copy()
        self._counted = count
        self._read = vm.events_used = min(used, self._kept)
        codes = events["code"]
        self._add_faults(events[np.isin(codes, FAULT_EVENTS)], events[codes == EV_SWAP_CACHE_HIT])
        self._add_instants(events[np.isin(codes, _INSTANTS)])

    def _add_instants(self, events: Any) -> None:
        rows = _rows(len(events), Kind.INSTANT)
        rows[:, AT["begin_ns"]] = rows[:, AT["end_ns"]] = rows[:, AT["middle_ns"]] = events["t_ns"]
        rows[:, AT["task"]] = events["task"]
        rows[:, AT["where"]], rows[:, AT["pages"]] = events["a"], events["b"]
        rows[:, AT["detail"]] = _DETAIL_OF[events["code"]]
        self._recorder.add_block(rows)

    def _add_faults(self, events: Any, hits: Any) -> None:
        """Faults of the log, less those that stopped the hardware: those are known better."""
        alone = np.ones(len(events), bool)
        waiting = [*self._ended, *self.stopped.values()]
        if waiting and len(events):
            at: dict[tuple[int, int], list[int]] = {}
            for i, key in enumerate(zip(events["task"].tolist(), events["a"].tolist(), strict=True)):
                at.setdefault(key, []).append(i)
            for fault in waiting:
                self._match(fault, at.get((fault.task, fault.vpn), []), events, alone)
        for fault in self._ended:
            self._add_stopped(fault)
        self._ended.clear()
        self._add_unstopped(events[alone], hits)

    def _match(self, fault: Fault, candidates: list[int], events: Any, alone: Any) -> None:
        """Find the event with which a fault was served: the first of its page while it was under way."""
        if fault.event is not None:
            return
        for i in candidates:
            t_ns = int(events["t_ns"][i])
            if alone[i] and t_ns >= fault.begin_ns and (fault.end_ns < 0 or t_ns <= fault.end_ns):
                alone[i] = False
                fault.event = (int(events["code"][i]), int(events["b"][i]))
                return

    def _add_stopped(self, fault: Fault) -> None:
        detail, node = DETAIL["mapped by another"], -1
        if fault.event is not None:
            code, pfn = fault.event
            detail = int(_DETAIL_OF[code])
            node = int(self._node_of(np.array([pfn]))[0]) if code != EV_ZERO_PAGE else -1
        elif fault.kind not in (Kind.MINOR_FAULT, Kind.MAJOR_FAULT):
            detail = 0
        self._recorder.add(
            fault.kind,
            fault.begin_ns,
            fault.end_ns,
            fault.begin_ns,
            fault.task,
            node=node,
            where=fault.vpn << PAGE_SHIFT,
            pages=fault.write,
            detail=detail,
        )

    def _add_unstopped(self, events: Any, hits: Any) -> None:
        """Faults that the hardware loop, or a system call, served at an instant."""
        codes = events["code"]
        rows = _rows(len(events), Kind.MINOR_FAULT)
        major = codes == EV_DO_NO_PAGE
        if self._late:  # there, a page from swap is a major fault unless it was found in the swap cache
            found = set(zip(hits["task"].tolist(), hits["t_ns"].tolist(), strict=True))
            keys = zip(events["task"].tolist(), events["t_ns"].tolist(), strict=True)
            major |= (codes == EV_DO_SWAP_PAGE) & ~np.fromiter((key in found for key in keys), bool, len(events))
        rows[major, 0] = Kind.MAJOR_FAULT
        rows[:, AT["begin_ns"]] = rows[:, AT["middle_ns"]] = events["t_ns"]
        rows[:, AT["end_ns"]] = events["t_ns"] + self._least_ns[codes]
        rows[:, AT["task"]] = events["task"]
        rows[:, AT["where"]] = events["a"] << PAGE_SHIFT
        rows[:, AT["pages"]] = np.isin(codes, (EV_DO_ANONYMOUS_PAGE, EV_DO_WP_PAGE))
        rows[:, AT["node"]] = np.where(codes == EV_ZERO_PAGE, -1, self._node_of(events["b"]))
        rows[:, AT["detail"]] = _DETAIL_OF[codes]
        self._recorder.add_block(rows)

    def _node_of(self, pfns: Any) -> Any:
        return self._k.section_zone.view(np.ndarray)[pfns >> int(self._vm.section_shift)] // NR_ZONES


def _rows(n: int, kind: Kind) -> Any:
    """`n` rows of a kind, with nothing known."""
    rows = np.zeros((n, len(COLUMNS)), np.int64)
    rows[:, 0] = kind
    for name in ("cpu", "node", "disk", "request"):
        rows[:, AT[name]] = -1
    return rows
