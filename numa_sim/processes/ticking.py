"""Daemons that come by themselves: once a second, and earlier when somebody wakes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numa_sim.compiled import entry
from numa_sim.processes.daemon import Daemon
from numa_sim.state.constants import KSWAPD
from numa_sim.state.event_codes import EV_KSWAPD_SLEEP, EV_KSWAPD_WAKE
from numa_sim.state.events import log_event

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.runnable import Steps

_log_event = entry(log_event)

SECOND_NS = 1_000_000_000
"""HZ: how long kswapd sleeps at most."""


class TickingKswapd(Daemon):
    """What the kswapds of 2.2 and 2.4.0 have in common: how they sleep.

    Parameters
    ----------
    machine : Machine
        Where it runs.
    """

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine, KSWAPD)
        self._due_ns = 0
        self._alarm_is_set = False

    def sleep_for_a_second(self) -> Steps:
        """interruptible_sleep_on_timeout(&kswapd_wait, HZ)."""
        machine = self.machine
        _log_event(self.kernel, EV_KSWAPD_SLEEP, 0, 0)
        machine.vm.kswapd_asleep = 1
        self._due_ns = machine.now_ns + SECOND_NS
        if not self._alarm_is_set:
            self._set_alarm()
        yield self.sleep()
        machine.vm.kswapd_asleep = 0
        self.enter()
        _log_event(self.kernel, EV_KSWAPD_WAKE, 0, 0)

    def _set_alarm(self) -> None:
        """One alarm for all sleeps: it may ring too early, and is set again; sleeps cut short leave none behind."""
        self._alarm_is_set = True
        alarm = self.machine.timeout(self._due_ns - self.machine.now_ns)
        alarm.callbacks.append(lambda _: self._alarm())

    def _alarm(self) -> None:
        self._alarm_is_set = False
        if self.machine.vm.kswapd_asleep:
            if self.machine.now_ns >= self._due_ns:
                self.wake()
            else:
                self._set_alarm()
