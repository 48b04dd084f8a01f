"""kswapd @2.4.16 and later (spec 4.7): the one daemon that reclaims for every zone that needs balance.

It sleeps until an allocation finds no zone above its low mark, then works until no zone of any node needs it.  Its work
is the same compiled reclaim as everybody's; it runs on an idle CPU of the zone's node or steals from a busy one.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from simpy import Event

from numa_sim.compiled import entry
from numa_sim.kernel import profiles
from numa_sim.kernel.mmzone import pgdat_order
from numa_sim.kernel.vmscan import check_classzone_need_balance
from numa_sim.processes.signal import Signal
from numa_sim.state.constants import (
    EV_KSWAPD_SLEEP,
    EV_KSWAPD_WAKE,
    GFP_KSWAPD,
    NR_ZONES,
    PAGEOUTRUN,
    PF_KTHREAD,
    PF_MEMALLOC,
    RECLAIM_DONE,
    RECLAIM_WAIT,
    RECLAIM_YIELD,
)
from numa_sim.state.events import log_event
from numa_sim.state.rows import row

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine

_check_need_balance = entry(check_classzone_need_balance)
_log_event = entry(log_event)

KSWAPD = 1
"""Its row in ``kernel.tasks``."""
Steps = Generator[Event, Any, Any]


class Kswapd:
    """The daemon.

    Parameters
    ----------
    machine : Machine
        Where it runs.
    enabled : bool
        False: it never wakes (the null daemon); every shortage is met by direct reclaim.
    """

    def __init__(self, machine: Machine, enabled: bool = True) -> None:
        self.machine = machine
        self.kernel = machine.kernel
        self.record = row(machine.kernel.tasks, KSWAPD)
        self.record.flags |= PF_MEMALLOC | PF_KTHREAD
        self.enabled = enabled
        self.busy_ns = 0
        self.back_off_ns = profiles.get(machine.config.kernel.profile).kswapd_back_off_ns
        self._visits = [
            node * NR_ZONES + index
            for node in pgdat_order(self.kernel)
            for index in reversed(range(NR_ZONES))
            if self.kernel.zones[node * NR_ZONES + index]["size"]
        ]
        self._wake: Event | None = None
        self._page_unlocked = Signal(machine)
        if enabled:
            machine.process(self._run())

    def wake(self) -> None:
        """wake_up(&kswapd_wait): an allocation asked for it."""
        self.machine.vm.kswapd_wanted = 0
        if self._wake is not None:
            self._wake.succeed()
            self._wake = None

    def _zones_in_need(self) -> list[int]:
        """Zones that need balance, in the order kswapd visits them: nodes as in pgdat_list, zones from the top."""
        k = self.kernel
        need = k.zones["need_balance"].tolist()
        return [zone for zone in self._visits if need[zone]]

    def _run(self) -> Steps:
        k, machine = self.kernel, self.machine
        while True:
            zones = self._zones_in_need()
            if not zones:
                self._enter(0)
                _log_event(k, EV_KSWAPD_SLEEP, 0, 0)
                machine.vm.kswapd_asleep = 1
                self._wake = Event(machine)
                yield self._wake
                zones = self._zones_in_need()
                self._enter(zones[0] // NR_ZONES if zones else 0)
                _log_event(k, EV_KSWAPD_WAKE, len(zones), 0)
            for zone in zones:
                if zone in self._zones_in_need():
                    yield from self._balance(zone)
            machine.block.run_tq_disk()

    def _balance(self, zone: int) -> Steps:
        """One try_to_free_pages_zone for `zone`; on failure give the zone up and rest."""
        k, machine = self.kernel, self.machine
        node = zone // NR_ZONES
        k.vmstat[node, PAGEOUTRUN] += 1
        self._enter(node)
        machine.reclaim.begin(KSWAPD, zone, GFP_KSWAPD)
        status = RECLAIM_YIELD
        while status in (RECLAIM_YIELD, RECLAIM_WAIT):
            self._enter(node)
            self.record.cost_ns = 0
            status = machine.reclaim.run(KSWAPD)
            machine.attend()
            yield from self._work(self.record.cost_ns)
            if status == RECLAIM_WAIT:
                event = machine.page_event(self.record.wait_pfn, self._page_unlocked)
                if event is not None:
                    yield event
        self._enter(node)
        if status == RECLAIM_DONE:
            if not _check_need_balance(k, zone):
                k.zones[zone].need_balance = 0
        else:
            k.zones[zone].need_balance = 0
            yield machine.timeout(self.back_off_ns)

    def _enter(self, node: int) -> None:
        self._cpu = self.machine.cpu_for_daemon(node)
        self.machine.enter_kernel(KSWAPD, self._cpu.number)

    def _work(self, cost_ns: int) -> Steps:
        if cost_ns > 0:
            self.busy_ns += cost_ns
            self._cpu.lend(cost_ns)
            if self.machine.timeline is not None:
                self.machine.timeline.worked(KSWAPD, self._cpu, cost_ns)
            yield self.machine.timeout(cost_ns)
