"""Resource limits: setrlimit(2), kernel/sys.c @2.4.

A task has one limit of each kind, which it may change as it likes: the hard limits are infinite, as init's are.  They
act where the memory is asked for: ``mmap``, ``brk``, the stack's growth, ``mlock``, the core file.
"""

from __future__ import annotations

from errno import EINVAL

from numa_sim.state.constants import RLIM_INFINITY, RLIMITS
from numa_sim.state.kernel import Kernel


def rlimit(k: Kernel, t: int, resource: str) -> int:
    """Limit of task `t` in bytes; RLIM_INFINITY if there is none.  `resource` is one of RLIMITS."""
    return int(k.tasks[t][f"rlim_{resource}"])


def setrlimit(k: Kernel, t: int, resource: str, limit: int) -> int:
    """sys_setrlimit: limit `resource` of task `t` to `limit` bytes; 0, or EINVAL."""
    if resource not in RLIMITS or not 0 <= limit <= RLIM_INFINITY:
        return EINVAL
    k.tasks[t][f"rlim_{resource}"] = limit
    return 0
