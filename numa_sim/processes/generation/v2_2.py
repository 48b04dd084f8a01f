"""2.2 (spec 3.1, 4.9): kswapd comes once a second or when woken; whoever finds too little memory frees some himself.

Nobody waits for kswapd, and nobody is chosen to be killed: a fault for which no page can be had kills its own task.

Simplified: kswapd ends a round early when it has worked for a time slice (the kernel: when somebody is to run in its
place); the big kernel lock, under which 2.2 faults and reclaims one CPU at a time, is not modelled.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from numa_sim.compiled import entry
from numa_sim.kernel.v2_2.vmscan import GFP_KSWAPD_2_2, reclaim_run, try_to_free_pages_begin
from numa_sim.processes.generation.generation import Generation
from numa_sim.processes.ticking import TickingKswapd
from numa_sim.state.answers import RECLAIM_DONE
from numa_sim.state.constants import KSWAPD
from numa_sim.state.counters import ALLOCSTALL, PAGEOUTRUN

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.runnable import Runnable, Steps

_try_to_free_pages_begin = entry(try_to_free_pages_begin)
_reclaim_run = entry(reclaim_run)


class Kswapd(TickingKswapd):
    """The daemon that frees pages until ``freepages.high`` are free.

    Parameters
    ----------
    machine : Machine
        Where it runs.
    """

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine)
        machine.process(self._run())

    def _run(self) -> Steps:
        machine, vm = self.machine, self.machine.vm
        while True:
            began_ns, status = self.busy_ns, RECLAIM_DONE
            while status == RECLAIM_DONE and vm.nr_free_pages < vm.freepages_high:
                status = yield from self._do_try_to_free_pages()
                if self.busy_ns - began_ns >= machine.time_slice_ns:
                    break
            machine.block.run_tq_disk()
            self.enter()
            yield from self.sleep_for_a_second()

    def _do_try_to_free_pages(self) -> Steps:
        """One do_try_to_free_pages; RECLAIM_DONE or RECLAIM_FAILED."""
        self.enter()
        self.kernel.vmstat[self.cpu.node, PAGEOUTRUN] += 1
        _try_to_free_pages_begin(self.kernel, KSWAPD, GFP_KSWAPD_2_2)
        status = yield from self.reclaim(partial(_reclaim_run, self.kernel))
        # Never free of charge: or a round that cannot end would take no time.
        self.enter()
        self.record.cost_ns = 1
        yield from self.pay()
        return status


class Generation22(Generation):
    """linux-2.2.

    Parameters
    ----------
    machine : Machine
        Where it runs.
    kswapd : bool
        False: nobody reclaims in the background.
    """

    no_memory = "task {name}: no memory for a page, killed (SIGBUS)"

    def __init__(self, machine: Machine, kswapd: bool) -> None:
        super().__init__(machine)
        machine.vm.kswapd_asleep = 0
        self.kswapd = Kswapd(machine) if kswapd else None

    def wake_daemons(self) -> None:
        """Wake kswapd."""
        vm = self.machine.vm
        if vm.kswapd_wanted and self.kswapd is not None:
            vm.kswapd_wanted = 0
            self.kswapd.wake()

    def _meet(self, task: Runnable, wish: int) -> Steps:
        """try_to_free_pages by the task itself."""
        task.enter_kernel()
        self.kernel.vmstat[task.record.alloc_node, ALLOCSTALL] += 1
        _try_to_free_pages_begin(self.kernel, task.index, task.record.alloc_gfp)
        status = yield from self._run_reclaim(task, partial(_reclaim_run, self.kernel))
        return int(status == RECLAIM_DONE)
