"""2.4.16 and later: kswapd balances zones that ask for it; below the min marks every task reclaims for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numa_sim.processes.generation.generation import Generation
from numa_sim.processes.kswapd import Kswapd
from numa_sim.state.answers import RECLAIM_DONE
from numa_sim.state.counters import ALLOCSTALL

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.runnable import Runnable, Steps


class LateGeneration(Generation):
    """linux-2.4.22 and linux-2.4.37.

    Parameters
    ----------
    machine : Machine
        Where they run; ``machine.reclaim`` says how pages are freed.
    kswapd : bool
        False: nobody reclaims in the background.
    """

    def __init__(self, machine: Machine, kswapd: bool) -> None:
        super().__init__(machine)
        self.kswapd = Kswapd(machine, enabled=kswapd)

    def wake_daemons(self) -> None:
        """Wake kswapd."""
        if self.machine.vm.kswapd_wanted:
            self.kswapd.wake()

    def _meet(self, task: Runnable, wish: int) -> Steps:
        """try_to_free_pages by the task itself."""
        machine, record = self.machine, task.record
        task.enter_kernel()
        self.kernel.vmstat[int(self.kernel.zones[record.reclaim_zone].node), ALLOCSTALL] += 1
        machine.reclaim.begin(task.index, record.reclaim_zone, record.reclaim_gfp)
        status = yield from self._run_reclaim(task, machine.reclaim.run)
        return int(status == RECLAIM_DONE)
