"""What steps of rules answer, and why the access loop stopped: whoever calls them goes on accordingly."""

from __future__ import annotations

from typing import Final

# What alloc_pages answers when it is not a pfn -----------------------------------------------------------------------
ALLOC_FAIL: Final = -1
ALLOC_RECLAIM: Final = -2
"""The caller must reclaim (``tasks[t].reclaim_*`` says what) and then call `alloc_after_reclaim`."""
ALLOC_YIELD: Final = -3
"""2.4.0: others must run first (SCHED_YIELD); then `alloc_after_reclaim`."""
ALLOC_WAIT_KSWAPD: Final = -4
"""2.4.0: sleep until kswapd's round ends (kswapd_done); then `alloc_after_reclaim`."""

# What a reclaim step answers -----------------------------------------------------------------------------------------
RECLAIM_FAILED: Final = 0
RECLAIM_DONE: Final = 1
RECLAIM_WAIT: Final = 2
"""Wait until the page ``tasks[t].wait_pfn`` is unlocked (its reference is held), then call again."""
RECLAIM_YIELD: Final = 3
"""The step's cost reached ``vm.reclaim_quantum_ns``: charge ``tasks[t].cost_ns``, then call again."""

# What a page fault answers -------------------------------------------------------------------------------------------
FAULT_SEGV: Final = 0
FAULT_MINOR: Final = 1
FAULT_MAJOR: Final = 2
FAULT_OOM: Final = 3
FAULT_WAIT: Final = 4
"""Wait until ``tasks[t].wait_pfn`` is unlocked (its reference is held), then call again."""
FAULT_RECLAIM: Final = 5
"""An allocation needs reclaim: run it, call `alloc_after_reclaim`, then call again."""
FAULT_SIGBUS: Final = 6
"""Beyond the end of a mapped file, or its block cannot be read."""
FAULT_OOPS: Final = 7
"""The kernel itself touched an address that nothing maps."""
FAULT_FIXUP: Final = 8
"""It did so copying to or from user space: the system call answers EFAULT."""
FAULT_INVALID_OPCODE: Final = 9
"""The fault of a Pentium's F00F bug: SIGILL."""
FAULT_LOCKED: Final = 10
"""Another task holds mmap_sem: sleep on it, then call again."""

# What a step of a file operation answers -----------------------------------------------------------------------------
FILE_DONE: Final = 0
"""``tasks[t].file_done`` bytes (or pages written) are done."""
FILE_WAIT: Final = 1
"""Wait until the I/O of page ``tasks[t].wait_pfn`` ends (its reference is held), then call again."""
FILE_RECLAIM: Final = 2
"""An allocation needs reclaim: run it, call `alloc_after_reclaim`, then call again."""
FILE_YIELD: Final = 3
"""Charge ``tasks[t].cost_ns``, let the devices take their requests, then call again."""
FILE_FAILED: Final = 4
"""``tasks[t].file_error`` says why (ENOMEM, ENOSPC); ``file_done`` bytes were done before."""
EPERM: Final = 1
EAGAIN: Final = 11
ENOMEM: Final = 12
EACCES: Final = 13
EFAULT: Final = 14
EINVAL: Final = 22
ENOSYS: Final = 38
ETXTBSY: Final = 26
ENOSPC: Final = 28
FILE_IDLE: Final = 0
FILE_READ: Final = 1
FILE_WRITE: Final = 2
FILE_FSYNC: Final = 3
FILE_TRUNCATE: Final = 4
"""``tasks[t].file_op``: what `file_run` goes on with."""
SWAPOFF_DONE: Final = 0
SWAPOFF_WAIT: Final = 1
SWAPOFF_RECLAIM: Final = 2
SWAPOFF_YIELD: Final = 3
SWAPOFF_NO_MEMORY: Final = 4
"""What `try_to_unuse` answers: every slot is free; wait for ``tasks[t].wait_pfn``, reclaim, or let others run, and call
it again; ENOMEM."""
FORK_DONE: Final = 0
FORK_RECLAIM: Final = 1
FORK_NO_MEMORY: Final = 2
"""What `copy_page_range` answers: everything is copied; reclaim and call it again; ENOMEM."""
CLONE_VM: Final = 0x100
CLONE_VFORK: Final = 0x4000
"""Flags of clone(2): share the address space; the parent sleeps until the child execs or exits."""
FLUSH_SLEEP: Final = 0
FLUSH_AGAIN: Final = 1
"""What `bdflush_step` and `kupdate_step` answer: sleep until woken or the next interval, or call again."""

# Why the access loop stopped -----------------------------------------------------------------------------------------
STOP_HORIZON: Final = 0
"""Every CPU's clock has reached the next event's time."""
STOP_BUFFER: Final = 1
STOP_SLICE: Final = 2
STOP_FAULT: Final = 3
"""The access needs the kernel's slow path; ``tasks[t].fault_*`` says why."""
STOP_KICK: Final = 4
"""A rule queued I/O or woke a daemon: Python must act at this instant."""
