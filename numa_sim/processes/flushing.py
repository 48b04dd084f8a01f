"""bdflush and kupdate: the daemons that write dirty buffers, fs/buffer.c @2.4 (spec 9.5).

bdflush is woken by whoever dirties a buffer when too many are dirty; kupdate comes at a fixed interval for those that
are too old.  Both pull the plugs of the disks at the end of their rounds.
bdflush of 2.4.0 is in `numa_sim.processes.generation.v2_4_0`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numa_sim.compiled import entry
from numa_sim.kernel.bdflush import bdflush_step, kupdate_step
from numa_sim.processes.daemon import Daemon
from numa_sim.state.answers import FLUSH_AGAIN
from numa_sim.state.constants import TASK_BDFLUSH, TASK_KUPDATE
from numa_sim.state.counters import BDFLUSH_WAKEUP
from numa_sim.state.event_codes import EV_WAKEUP_BDFLUSH
from numa_sim.state.events import log_event

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.runnable import Steps

_bdflush_step = entry(bdflush_step)
_kupdate_step = entry(kupdate_step)
_log_event = entry(log_event)


class Bdflush(Daemon):
    """Writes while too much is dirty.

    Parameters
    ----------
    machine : Machine
        Where it runs.
    enabled : bool
        False: it never wakes; only kupdate, fsync, reclaim and the writers themselves write.
    """

    def __init__(self, machine: Machine, enabled: bool) -> None:
        super().__init__(machine, TASK_BDFLUSH)
        if enabled:
            machine.process(self._run())

    def wanted(self) -> None:
        """A rule asked for it (wakeup_bdflush)."""
        self.machine.vm.bdflush_wanted = 0
        self.wake()

    def _run(self) -> Steps:
        machine, k = self.machine, self.kernel
        while True:
            yield self.sleep()
            self.enter()
            k.vmstat[self.cpu.node, BDFLUSH_WAKEUP] += 1
            _log_event(k, EV_WAKEUP_BDFLUSH, 0, 0)
            status = FLUSH_AGAIN
            while status == FLUSH_AGAIN:
                status = yield from self._round()
            machine.block.run_tq_disk()

    def _round(self) -> Steps:
        """Write some buffers; FLUSH_AGAIN or FLUSH_SLEEP."""
        self.enter()
        status = _bdflush_step(self.kernel)
        self.machine.attend()
        yield from self.work()
        return status


class Kupdate(Daemon):
    """Writes what has been dirty for too long, every ``bdf_interval_ns``.

    Parameters
    ----------
    machine : Machine
        Where it runs.
    enabled : bool
        False: old buffers stay dirty.
    """

    def __init__(self, machine: Machine, enabled: bool) -> None:
        super().__init__(machine, TASK_KUPDATE)
        if enabled:
            machine.process(self._run())

    def _run(self) -> Steps:
        machine = self.machine
        while True:
            yield machine.timeout(machine.vm.bdf_interval_ns)
            status = FLUSH_AGAIN
            while status == FLUSH_AGAIN:
                self.enter()
                status = _kupdate_step(self.kernel)
                machine.attend()
                yield from self.work()
            machine.block.run_tq_disk()
