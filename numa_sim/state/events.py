"""The event log: every rule that does something others can see says so here, and nowhere else.

Each event enters a running hash, whether or not anybody records it; so two runs are the same run exactly when their
hashes agree, observed or not.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.state.kernel import Kernel

_PRIME_A = 2147483647
_PRIME_B = 2147483629


@rule
def log_event(k: Kernel, code: int, a: int, b: int) -> None:
    """Enter event `code` with operands `a`, `b`, at ``vm.now_ns`` for ``vm.current_task``."""
    vm = k.vm[0]
    vm.event_count += 1
    # Two lanes below 2**31, so that plain Python and compiled code agree to the bit without overflow.
    what = code * 8192 + vm.current_task + 1
    t = vm.now_ns % _PRIME_A
    first = a % _PRIME_A
    second = b % _PRIME_A
    h = (vm.event_hash_a * 48271 + t) % _PRIME_A
    h = (h * 48271 + what) % _PRIME_A
    h = (h * 48271 + first) % _PRIME_A
    vm.event_hash_a = (h * 48271 + second) % _PRIME_A
    h = (vm.event_hash_b * 69621 + second) % _PRIME_B
    h = (h * 69621 + first) % _PRIME_B
    h = (h * 69621 + what) % _PRIME_B
    vm.event_hash_b = (h * 69621 + t) % _PRIME_B
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
