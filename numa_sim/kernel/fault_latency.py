"""How long page faults take, by what they were for (ours: a histogram per task, on request).

A fault's time runs from the access that met it to the instant the access starts again: kernel work, waits for locks,
reclaim and I/O, and for the CPU in between.  Off (``run.fault_latency``) it costs a test per fault.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import rule
from numa_sim.kernel.pgtable import get_pte
from numa_sim.state.constants import NIL, PTE_PRESENT, PTE_PROTNONE
from numa_sim.state.kernel import Kernel

FAULT_KINDS: Final = ("anonymous", "file", "swap", "copy_on_write")
"""First touch of anonymous memory; of a mapped file; a page that was swapped out; a write to a protected page."""
ANONYMOUS, FILE, SWAP, COPY_ON_WRITE = range(len(FAULT_KINDS))
_STEP_BITS: Final = 2
STEPS: Final = 1 << _STEP_BITS
"""Buckets per power of two: an upper bound is at most a quarter too large."""
BUCKETS: Final = 256


@rule
def latency_bucket(time_ns: int) -> int:
    """Bucket of a time: below 4 ns one each, above four per power of two."""
    octave = 0
    while time_ns >> (octave + _STEP_BITS + 1) != 0:
        octave += 1
    return octave * STEPS + (time_ns >> octave)


@rule
def begin_fault(k: Kernel, t: int, vpn: int) -> None:
    """A fault of task `t` begins at ``vm.now_ns``: note when, and what it is for."""
    task = k.tasks[t]
    task.fault_start_ns = k.vm[0].now_ns
    pte = get_pte(k, task.mm, vpn)
    if pte & (PTE_PRESENT | PTE_PROTNONE) != 0:
        task.fault_kind = COPY_ON_WRITE
    elif pte != 0:
        task.fault_kind = SWAP
    else:
        vma = k.mms[task.mm].mmap + 0
        while vma != NIL and k.vmas[vma].vm_end <= vpn:
            vma = k.vmas[vma].vm_next + 0
        task.fault_kind = FILE if vma != NIL and k.vmas[vma].vm_file != 0 else ANONYMOUS


@rule
def end_fault(k: Kernel, t: int, end_ns: int) -> None:
    """The fault is done at `end_ns`: enter it."""
    task = k.tasks[t]
    kind = task.fault_kind + 0
    taken_ns = max(end_ns - task.fault_start_ns, 0)
    k.fault_latency[t, kind, latency_bucket(taken_ns)] += 1
    k.fault_time[t, kind, 0] += taken_ns
    k.fault_time[t, kind, 1] = max(k.fault_time[t, kind, 1], taken_ns)
