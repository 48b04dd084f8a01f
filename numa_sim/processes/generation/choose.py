"""Which generation of kernels a machine runs, by its profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numa_sim.processes.flushing import Bdflush
from numa_sim.processes.generation.generation import Generation
from numa_sim.processes.generation.late import LateGeneration
from numa_sim.processes.generation.v2_2 import Generation22
from numa_sim.processes.generation.v2_4_0 import Generation240, LaunderingBdflush
from numa_sim.state.constants import KERNEL_2_2, KERNEL_2_4_0

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine


def generation_of(machine: Machine, in_background: bool) -> Generation:
    """The machine's generation; a late one without kswapd unless reclaim goes on `in_background`."""
    switches = machine.switches
    if machine.vm.profile == KERNEL_2_2:
        return Generation22(machine, switches.kswapd)
    if machine.vm.profile == KERNEL_2_4_0:
        return Generation240(machine, switches.kswapd, switches.kreclaimd)
    return LateGeneration(machine, switches.kswapd and in_background)


def bdflush_of(machine: Machine) -> Bdflush:
    """The machine's bdflush; 2.4.0's launders pages, too, so it runs without files."""
    enabled = machine.switches.bdflush
    if machine.vm.profile == KERNEL_2_4_0:
        return LaunderingBdflush(machine, enabled=enabled)
    return Bdflush(machine, enabled=enabled and bool(machine.config.machine.file))
