"""From the rules' I/O ring to the disks, and back when a request is done."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import simpy

from numa_sim.config.disk import Drive
from numa_sim.processes.block.elevator import MAX_REQUEST_PAGES, Request
from numa_sim.processes.block.queue import RequestQueue
from numa_sim.processes.signal import Signal
from numa_sim.state.kernel import Kernel
from numa_sim.state.rows import row


class BlockLayer:
    """All disks of a machine.

    Parameters
    ----------
    env : simpy.Environment
        The clock.
    k : Kernel
        Whose I/O ring and disk counters.
    drives : sequence of Drive
        The disks, in the order of ``k.disks``.
    plugging : bool
        Whether requests to an idle disk wait for their neighbours.
    end : callable
        Called with disk number and `Request` when one is done.

    Attributes
    ----------
    plugged : list of RequestQueue
        tq_disk: the queues that wait for their plug to be pulled.
    """

    def __init__(
        self,
        env: simpy.Environment,
        k: Kernel,
        drives: tuple[Drive, ...],
        plugging: bool,
        end: Callable[[int, Request], None],
    ) -> None:
        self._vm = row(k.vm, 0)
        self._ring = k.io.view(np.ndarray)
        self._end = end
        self._awaiting_room: list[Signal] = []
        self.plugged: list[RequestQueue] = []
        self.queues = [
            RequestQueue(env, drive, row(k.disks, number), plugging, partial(self._ended, number))
            for number, drive in enumerate(drives)
        ]

    def submit(self) -> None:
        """Hand the queued page transfers to their disks."""
        vm, ring = self._vm, self._ring
        head, tail = vm.io_head, vm.io_tail
        vm.io_head = tail
        if tail - head == 1:
            op, disk, block, pfn, _task = ring.item(head % len(ring))
            queue = self.queues[disk]
            if queue.is_queued:
                self._add(queue, op, block, pfn)
            else:
                queue.take(op, block, [pfn])
            return
        first, last = head % len(ring), tail % len(ring)
        self._submit(ring[first:last].tolist() if first < last else ring[first:].tolist() + ring[:last].tolist())

    def _submit(self, entries: list[tuple[int, int, int, int, int]]) -> None:
        """Neighbours that were asked for together travel together to a disk without a queue: nobody waits for more."""
        run: list[int] = []
        last, then = None, (-1, -1, -1)  # the queue of the run, and what would continue it
        for op, disk, block, pfn, _task in entries:
            if (op, disk, block) == then and len(run) < MAX_REQUEST_PAGES:
                run.append(pfn)
                then = (op, disk, block + 1)
                continue
            if last is not None:
                last.take(then[0], then[2] - len(run), run)
            last, then = self.queues[disk], (op, disk, block + 1)
            if last.is_queued:
                self._add(last, op, block, pfn)
                last, then = None, (-1, -1, -1)
            else:
                run = [pfn]
        if last is not None:
            last.take(then[0], then[2] - len(run), run)

    def _add(self, queue: RequestQueue, op: int, block: int, pfn: int) -> None:
        queue.add(op, block, pfn)
        if queue.plugged and queue not in self.plugged:
            self.plugged.append(queue)

    def run_tq_disk(self) -> None:
        """run_task_queue(&tq_disk): pull every plug."""
        if not self.plugged:
            return
        plugged, self.plugged = self.plugged, []
        for queue in plugged:
            if queue.plugged:
                queue.unplug()

    def room(self, signal: Signal) -> Signal | None:
        """`signal`, which comes when no disk's queue is full any more; None if none is.  Pulls the plugs."""
        if not any(queue.is_full for queue in self.queues):
            return None
        self.run_tq_disk()
        self._awaiting_room.append(signal)
        return signal.armed()

    def _ended(self, number: int, request: Request) -> None:
        """A request is done."""
        if self._awaiting_room and not any(queue.is_full for queue in self.queues):
            woken, self._awaiting_room = self._awaiting_room, []
            for signal in woken:
                signal.come_in(0)
        self._end(number, request)

    def settle(self) -> None:
        """Bring the disks' counters up to now."""
        for queue in self.queues:
            queue.settle()
