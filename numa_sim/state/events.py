"""The event log: every rule that does something others can see says so here, and nowhere else.

Each event enters a running hash, whether or not anybody records it; so two runs are the same run exactly when their
hashes agree, observed or not.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.state.kernel import Kernel

_MASK = (1 << 62) - 1
_SPREAD_TIME, _SPREAD_WHAT = 0x1E3779B97F4A7C15, 0x3F58476D1CE4E5B9
_SPREAD_A, _SPREAD_B = 0x14D049BB133111EB, 0x2545F4914F6CDD1D
_FACTOR = 0x369DEA0F31A53F85
"""Odd multipliers of known random number generators, cut to 62 bits."""


@rule
def log_event(k: Kernel, code: int, a: int, b: int) -> None:
    """Enter event `code` with operands `a`, `b`, at ``vm.now_ns`` for ``vm.current_task``."""
    vm = k.vm[0]
    vm.event_count += 1
    # Compiled code drops what does not fit into 64 bits, plain Python keeps it: the lowest 62 are the same in both.
    # One event waits for the one before it only in the last multiplication, because this runs twice in every fault.
    event = int(vm.now_ns) * _SPREAD_TIME + (code * 8192 + int(vm.current_task) + 1) * _SPREAD_WHAT
    event += int(a) * _SPREAD_A + int(b) * _SPREAD_B
    lane = ((int(vm.event_hash) ^ (event & _MASK)) * _FACTOR) & _MASK
    vm.event_hash = lane ^ (lane >> 31)
    if vm.record_events != 0 and vm.events_used < k.events.shape[0]:
        record = k.events[vm.events_used]
        record.t_ns = vm.now_ns
        record.code = code
        record.a = a
        record.b = b
        record.task = vm.current_task
        vm.events_used += 1


@rule
def count(k: Kernel, node: int, counter: int, n: int) -> None:
    """Add `n` to the per-node counter with column `counter` (see `VMSTAT`)."""
    k.vmstat[node, counter] += n
