"""The twin's kswapd of linux-2.2, written from the specification; tasks there reclaim for themselves."""

from __future__ import annotations

from typing import Any

from twin import v2_4_0

from numa_sim.compiled import entry
from numa_sim.kernel.v2_2.vmscan import GFP_KSWAPD_2_2, reclaim_run, try_to_free_pages_begin
from numa_sim.state.answers import RECLAIM_DONE, RECLAIM_WAIT, RECLAIM_YIELD
from numa_sim.state.counters import PAGEOUTRUN, PART_DAEMON

KSWAPD = 1

begin = entry(try_to_free_pages_begin)
run_rule = entry(reclaim_run)


class Kswapd(v2_4_0.Kswapd):
    """Once a second, or when rung for: one do_try_to_free_pages after the other until ``freepages.high`` are free."""

    def run(self) -> Any:
        while True:
            before_ns = int(self.machine.parts[KSWAPD, PART_DAEMON])
            worked_ns, status = 0, RECLAIM_DONE
            while self.vm.nr_free_pages < self.vm.freepages_high and status == RECLAIM_DONE:
                status = yield from self.do_try_to_free_pages()
                worked_ns = int(self.machine.parts[KSWAPD, PART_DAEMON]) - before_ns
                if worked_ns >= self.machine.slice_ns:
                    break
            self.machine.pull_plugs()
            self.begin()
            yield from self.sleep()

    def do_try_to_free_pages(self) -> Any:
        self.begin()
        self.k.vmstat[self.cpu.node, PAGEOUTRUN] += 1
        begin(self.k, KSWAPD, GFP_KSWAPD_2_2)
        status = RECLAIM_YIELD
        while status in (RECLAIM_YIELD, RECLAIM_WAIT):
            self.begin()
            status = run_rule(self.k, KSWAPD)
            self.machine.attend()
            yield from self.pay()
            if status == RECLAIM_WAIT:
                unlocked = self.machine.unlocked(self.record.wait_pfn)
                if unlocked is not None:
                    yield unlocked
        self.begin()
        self.record.cost_ns = 1
        yield from self.pay()
        return status
