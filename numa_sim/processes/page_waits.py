"""Who waits for the I/O of which page (___wait_on_page @2.4): the wait queues, and what the end of a request does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from numa_sim.compiled import entry
from numa_sim.kernel.page_io import end_page, end_request
from numa_sim.processes.block import Request
from numa_sim.processes.signal import Signal
from numa_sim.state.constants import BUFFERS_BUSY, IO_WRITE, MAPPING_SWAP, NR_ZONES, PG_locked
from numa_sim.state.counters import PAGE_LOCK_WAIT_NS, PAGE_LOCK_WAITS

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine

_end_page = entry(end_page)
_end_request = entry(end_request)


class PageWaits:
    """Pages whose I/O somebody waits for."""

    def __init__(self, machine: Machine) -> None:
        kernel = machine.kernel
        self._machine = machine
        self._awaited: dict[int, list[tuple[Signal, int]]] = {}
        self._flags = memoryview(kernel.pages["flags"].view(np.ndarray))
        self._buffers = memoryview(kernel.pages["buffers"].view(np.ndarray))
        self._mapping = memoryview(kernel.pages["mapping"].view(np.ndarray))
        self._section_zone = memoryview(kernel.section_zone.view(np.ndarray))
        self._section_shift = int(machine.vm.section_shift)
        self._vmstat = memoryview(kernel.vmstat.view(np.ndarray))

    def event(self, pfn: int, signal: Signal) -> Signal | None:
        """`signal`, which will come at the end of I/O on a page; None if there is none.

        Who waits pulls the plugs of all disks (sync_page: run_task_queue(&tq_disk)).
        """
        if not self._flags[pfn] & PG_locked and self._buffers[pfn] < BUFFERS_BUSY:
            return None
        block = self._machine.block
        if block.plugged:
            block.run_tq_disk()
        self._awaited.setdefault(pfn, []).append((signal, self._machine.now_ns))
        return signal.armed()

    def is_swap_page(self, pfn: int) -> bool:
        """Whether a page belongs to the swap cache."""
        return self._mapping[pfn] == MAPPING_SWAP

    def end_io(self, number: int, request: Request) -> None:
        """The interrupt of disk `number`: pages become readable or clean, whoever waits for them wakes."""
        machine = self._machine
        if machine.timeline is not None:
            machine.timeline.completed(number, request, self._awaited)
        cpu = machine.cpu_for_daemon(0)
        machine.enter_kernel(0, cpu.number)
        if len(request.pfns) == 1:
            _end_page.call(machine.kernel, request.op, request.pfns[0])
        else:
            _end_request.call(machine.kernel, request.op, np.array(request.pfns, np.int64))
        if request.op == IO_WRITE:
            machine.reclaim.after_write()
        cpu.lend(machine.costs.end_io_ns * len(request.pfns))
        woken: list[Signal] = []
        for pfn in request.pfns:
            if pfn in self._awaited:
                woken += self._end_waits(pfn)
        if len(woken) == 1 and machine.let_pass(0):
            woken[0].come()
        else:
            for signal in woken:
                signal.come_in(0)

    def _end_waits(self, pfn: int) -> list[Signal]:
        """The signals of those who wait for a page, whose waits are counted now."""
        woken = []
        node, counters = self._section_zone[pfn >> self._section_shift] // NR_ZONES, self._vmstat
        now_ns = self._machine.now_ns
        for signal, since_ns in self._awaited.pop(pfn):
            counters[node, PAGE_LOCK_WAITS] += 1
            counters[node, PAGE_LOCK_WAIT_NS] += now_ns - since_ns
            woken.append(signal)
        return woken
