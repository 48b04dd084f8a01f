"""The event log: every rule that does something others can see says so here, and nowhere else.

Each event enters a running hash, whether or not anybody records it; so two runs are the same run exactly when their
hashes agree, observed or not.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.state.kernel import Kernel

_LANE_BITS = 31
_LANE_MASK = (1 << _LANE_BITS) - 1
_FACTOR_A = 48271
_FACTOR_B = 69621


@rule
def _mix(h: int, factor: int, operand: int) -> int:
    """One step of a lane; below 2**48 throughout, so plain Python and compiled code agree to the bit."""
    return (h * factor + ((operand ^ (operand >> _LANE_BITS)) & _LANE_MASK)) & _LANE_MASK


@rule
def log_event(k: Kernel, code: int, a: int, b: int) -> None:
    """Enter event `code` with operands `a`, `b`, at ``vm.now_ns`` for ``vm.current_task``."""
    vm = k.vm[0]
    vm.event_count += 1
    t_ns = int(vm.now_ns)
    what = code * 8192 + int(vm.current_task) + 1
    h = _mix(_mix(int(vm.event_hash_a), _FACTOR_A, t_ns), _FACTOR_A, what)
    vm.event_hash_a = _mix(_mix(h, _FACTOR_A, int(a)), _FACTOR_A, int(b))
    h = _mix(_mix(int(vm.event_hash_b), _FACTOR_B, int(b)), _FACTOR_B, int(a))
    vm.event_hash_b = _mix(_mix(h, _FACTOR_B, what), _FACTOR_B, t_ns)
    if vm.record_events != 0 and vm.events_used < k.events.shape[0]:
        event = k.events[vm.events_used]
        event.t_ns = vm.now_ns
        event.code = code
        event.a = a
        event.b = b
        event.task = vm.current_task
        vm.events_used += 1


@rule
def count(k: Kernel, node: int, counter: int, n: int) -> None:
    """Add `n` to the per-node counter with column `counter` (see `VMSTAT`)."""
    k.vmstat[node, counter] += n
