"""The event log: every rule that does something others can see says so here, and nowhere else.

Each event enters a running hash, whether or not anybody records it; so two runs are the same run exactly when their
hashes agree, observed or not.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.state.kernel import Kernel

_BITS = 31
_MASK = (1 << _BITS) - 1
_SPREAD_TIME, _SPREAD_WHAT, _SPREAD_A, _SPREAD_B = 742_938_285, 1_226_874_159, 62_089_911, 1_583_458_089
_FACTOR_A, _FACTOR_B = 1_103_515_245, 1_812_433_253
"""Odd multipliers of known random number generators, all below 2**31."""


@part
def _fold(operand: int) -> int:
    """A whole number in 31 bits; small ones, negative too, stay apart."""
    return (operand + (operand >> _BITS)) & _MASK


@part
def _mix(lane: int, factor: int, event: int) -> int:
    """One step of a lane: multiply, and let the upper half of the product act on the lower."""
    product = (lane ^ (event & _MASK)) * factor
    return (product ^ (product >> _BITS)) & _MASK


@rule
def log_event(k: Kernel, code: int, a: int, b: int) -> None:
    """Enter event `code` with operands `a`, `b`, at ``vm.now_ns`` for ``vm.current_task``."""
    vm = k.vm[0]
    vm.event_count += 1
    # No product reaches 2**62, so plain Python and compiled code agree to the bit; and one event waits for the one
    # before it only in the last multiplication, because this runs twice in every fault.
    event = _fold(int(vm.now_ns)) * _SPREAD_TIME ^ (code * 8192 + int(vm.current_task) + 1) * _SPREAD_WHAT
    event ^= _fold(int(a)) * _SPREAD_A ^ _fold(int(b)) * _SPREAD_B
    vm.event_hash_a = _mix(int(vm.event_hash_a), _FACTOR_A, event)
    vm.event_hash_b = _mix(int(vm.event_hash_b), _FACTOR_B, event >> 23)
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
