"""The most memory an address space has ever had: hiwater_rss and hiwater_vm of struct mm_struct, from Linux 2.6 on.

2.4 keeps no such marks; they are kept for every kernel here, for whoever watches.  As in 2.6 they are brought up to
date only before something gets less, so that faults need not look; who reads them takes the present size in, too.
"""

from __future__ import annotations

from numa_sim.compiled import part
from numa_sim.state.kernel import Kernel


@part
def update_hiwater_rss(k: Kernel, mm: int) -> None:
    """Pages are about to be unmapped."""
    space = k.mms[mm]
    if space.rss > space.hiwater_rss:
        space.hiwater_rss = space.rss


@part
def update_hiwater_vm(k: Kernel, mm: int) -> None:
    """Areas are about to get fewer or smaller."""
    space = k.mms[mm]
    if space.total_vm > space.hiwater_vm:
        space.hiwater_vm = space.total_vm
