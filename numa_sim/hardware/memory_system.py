"""Memory controllers and links: what an access waits for because others use the same wires.

Each node's memory controller and each link is a *channel*: a FIFO server that moves one cache line in ``line_ps``.
An access passes the links of the shortest path and then the controller; what it waits is added to the unloaded
latency of the (CPU node, memory node) pair.  Three models:

* ``queue``: the wait in the FIFO.  With Poisson arrivals this is exactly M/D/1.
* ``curve``: measured loaded latency as a function of the load *requested* in the last window, never less than what
  the FIFO says, so capacity stays a hard ceiling.
* ``none``: no wait at all, the null model.

Simplified: reads and writes cost the same, there are no banks, and a write-back is not a separate transfer.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.state.constants import CHANNEL_CURVE, CHANNEL_NONE, CHANNEL_QUEUE, NIL
from numa_sim.state.kernel import Kernel

_CURVE_STEPS = 64


@rule
def _curve_ns(k: Kernel, channel: int, t_ns: int, lines: int) -> int:
    """Extra latency of a channel that follows a measured curve; notes the load requested."""
    c = k.channels[channel]
    elapsed_ns = t_ns - c.window_start_ns
    if elapsed_ns >= c.window_ns:
        # Requested load of the windows that have passed, in 64ths of capacity.
        step = c.window_lines * c.line_ps * _CURVE_STEPS // (elapsed_ns * 1000)
        c.extra_ns = k.curves[c.curve, min(step, _CURVE_STEPS)]
        c.window_start_ns = t_ns
        c.window_lines = 0
    c.window_lines += lines
    return c.extra_ns


@rule
def fifo_wait_ps(busy_until_ps: int, t_ps: int) -> int:
    """What a request that arrives at `t_ps` waits for a server busy until `busy_until_ps`."""
    return max(busy_until_ps - t_ps, 0)


@rule
def whole_ns(wait_ps: int) -> int:
    """A wait in ps as the CPU sees it: in ns, rounded up."""
    return (wait_ps + 999) // 1000


@rule
def pass_channel(k: Kernel, channel: int, t_ps: int, lines: int) -> int:
    """Send `lines` through one channel from instant `t_ps` on; return the wait in ps."""
    c = k.channels[channel]
    wait_ps = fifo_wait_ps(c.busy_until_ps, t_ps)
    c.busy_until_ps = t_ps + wait_ps + lines * c.line_ps
    c.lines += lines
    if c.model == CHANNEL_CURVE:
        wait_ps = max(wait_ps, 1000 * _curve_ns(k, channel, t_ps // 1000, lines))
    if wait_ps > 0:
        c.queue_ns += whole_ns(wait_ps)
    return wait_ps


@rule
def is_plain(k: Kernel, cpu_node: int, memory_node: int) -> bool:
    """Whether the way leads through one FIFO and nothing else, so that a CPU running alone may keep it in hand."""
    return k.paths[cpu_node, memory_node, 0] == memory_node and k.channels[memory_node].model == CHANNEL_QUEUE


@rule
def queueing_ns(k: Kernel, cpu_node: int, memory_node: int, t_ns: int, lines: int) -> int:
    """What an access of `lines` cache lines issued at `t_ns` waits on its way, in ns (rounded up)."""
    if k.channels[memory_node].model == CHANNEL_NONE:
        return 0
    t_ps = t_ns * 1000
    waited_ps = 0
    hop = 0
    channel = k.paths[cpu_node, memory_node, 0]
    while channel != NIL:
        waited_ps += pass_channel(k, channel, t_ps + waited_ps, lines)
        hop += 1
        channel = k.paths[cpu_node, memory_node, hop]
    if waited_ps == 0:
        return 0
    return whole_ns(waited_ps)
