"""Where rules hand over I/O: drivers/block/ll_rw_blk.c @2.4, as far as the memory management sees it.

A request of one page goes into the I/O ring (``k.io``, between ``vm.io_head`` and ``vm.io_tail``, both only growing).
The devices take it out, merge, order and transfer; at the end they call `numa_sim.kernel.page_io.end_request`.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.costs import charge
from numa_sim.kernel.filemap import node_of
from numa_sim.state.constants import IO_READ
from numa_sim.state.counters import PGPGIN, PGPGOUT
from numa_sim.state.events import count
from numa_sim.state.kernel import Kernel

_KIB_PER_PAGE = 4


@part
def io_ring_is_full(k: Kernel) -> bool:
    """Whether the I/O ring is more than half full: then rules let the devices take their requests first."""
    return (k.vm[0].io_tail - k.vm[0].io_head) * 2 > k.io.shape[0]


@rule
def count_transfer(k: Kernel, op: int, pfn: int) -> None:
    """Count one page in pgpgin or pgpgout, in KiB as vmstat does."""
    count(k, node_of(k, pfn), PGPGIN if op == IO_READ else PGPGOUT, _KIB_PER_PAGE)


@rule
def submit_bh(k: Kernel, op: int, device: int, block: int, pfn: int) -> None:
    """Ask a disk for the transfer of one page (IO_READ, IO_WRITE), for ``costs.submit_io_ns``."""
    vm = k.vm[0]
    charge(k, k.costs[0].submit_io_ns)
    count_transfer(k, op, pfn)
    request = k.io[vm.io_tail % k.io.shape[0]]
    request.op = op
    request.device = device
    request.block = block
    request.pfn = pfn
    request.task = vm.current_task
    vm.io_tail += 1
