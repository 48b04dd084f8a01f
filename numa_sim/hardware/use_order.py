"""In which order pages were used, for replacement policies that want to know exactly (no hardware would tell).

The accesses a CPU has carried out are still in its task's buffer when it stops, and CPUs stop whenever another one goes
first; so numbering them then gives the order of all uses of the machine, without a word in the access loop.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.pgtable import leaf_row
from numa_sim.state.constants import NIL, PAGE_SHIFT
from numa_sim.state.kernel import Kernel


@rule
def note_uses(k: Kernel, mm: int, t: int, first: int, end: int) -> None:
    """Number the accesses [first, end) of task `t`'s buffer in `last_use` of their frames; all are still mapped."""
    vm = k.vm[0]
    bits = vm.entry_bits
    order = vm.use_order
    row = upper = NIL
    for position in range(first, end):
        vpn = k.accesses[t, position].vpn
        if vpn >> bits != upper:
            upper = vpn >> bits
            row = leaf_row(k, mm, vpn)
        order += 1
        k.last_use[k.tables[row, vpn & ((1 << bits) - 1)] >> PAGE_SHIFT] = order
    vm.use_order = order
