"""kswapd @2.4.16 and later (spec 4.7): the one daemon that reclaims for every zone that needs balance.

It sleeps until an allocation finds no zone above its low mark, then works until no zone of any node needs it.  Its work
is the same compiled reclaim as everybody's; it runs on an idle CPU of the zone's node or steals from a busy one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from numa_sim.compiled import entry
from numa_sim.kernel import profiles
from numa_sim.kernel.mmzone import pgdat_order
from numa_sim.kernel.vmscan import check_classzone_need_balance
from numa_sim.processes.daemon import Daemon
from numa_sim.state.answers import RECLAIM_DONE
from numa_sim.state.constants import GFP_KSWAPD, KSWAPD, NR_ZONES
from numa_sim.state.counters import PAGEOUTRUN
from numa_sim.state.event_codes import EV_KSWAPD_SLEEP, EV_KSWAPD_WAKE
from numa_sim.state.events import log_event

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.runnable import Steps

_check_need_balance = entry(check_classzone_need_balance)
_log_event = entry(log_event)


class Kswapd(Daemon):
    """The daemon.

    Parameters
    ----------
    machine : Machine
        Where it runs.
    enabled : bool
        False: it never wakes (the null daemon); every shortage is met by direct reclaim.
    """

    def __init__(self, machine: Machine, enabled: bool = True) -> None:
        super().__init__(machine, KSWAPD)
        self.enabled = enabled
        self.back_off_ns = profiles.get(machine.config.kernel.profile).kswapd_back_off_ns
        self._visits = [
            node * NR_ZONES + index
            for node in pgdat_order(self.kernel)
            for index in reversed(range(NR_ZONES))
            if self.kernel.zones[node * NR_ZONES + index]["size"]
        ]
        if enabled:
            machine.process(self._run())

    def wake(self) -> bool:
        """wake_up(&kswapd_wait): an allocation asked for it."""
        self.machine.vm.kswapd_wanted = 0
        return super().wake()

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
                self.enter(0)
                _log_event(k, EV_KSWAPD_SLEEP, 0, 0)
                machine.vm.kswapd_asleep = 1
                yield self.sleep()
                zones = self._zones_in_need()
                self.enter(zones[0] // NR_ZONES if zones else 0)
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
        self.enter(node)
        machine.reclaim.begin(KSWAPD, zone, GFP_KSWAPD)
        status = yield from self.reclaim(machine.reclaim.run, node)
        self.enter(node)
        if status == RECLAIM_DONE:
            if not _check_need_balance(k, zone):
                k.zones[zone].need_balance = 0
        else:
            k.zones[zone].need_balance = 0
            yield machine.timeout(self.back_off_ns)
