"""Operations on files as the processes run them: read, write, fsync, truncate.

*Interface*.  Begin one with `file_read_begin`, `file_write_begin`, `file_fsync_begin` or `file_truncate_begin`; then
call `file_run` until it answers FILE_DONE or FILE_FAILED, and meanwhile

* FILE_WAIT: sleep until the I/O of page ``tasks[t].wait_pfn`` ends (PG_locked off and ``page.buffers < BUFFERS_BUSY``);
* FILE_RECLAIM: reclaim, then `alloc_after_reclaim`, as for a page fault;
* FILE_YIELD: nothing to wait for, but the devices must take their requests and others may run.

Each call adds its CPU time to ``tasks[t].cost_ns``.  ``file_done`` counts bytes.  A task that is killed calls
`abandon_file`.  msync(2) is `msync.filemap_sync` for the areas, then fsync.

Simplified: no semaphore keeps two writers of a file apart, each page is written at one instant.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.filemap import page_cache_release
from numa_sim.kernel.fsync import fsync_step
from numa_sim.kernel.ll_rw_blk import io_ring_is_full
from numa_sim.kernel.read_write import (
    GO_ON,
    STAGE_FIND,
    drop_page_in_hand,
    generic_file_read_step,
    generic_file_write_step,
)
from numa_sim.kernel.readahead import file_ra_begin
from numa_sim.kernel.truncate import must_zero_rest, truncate_step
from numa_sim.state.answers import (
    FILE_DONE,
    FILE_FAILED,
    FILE_FSYNC,
    FILE_IDLE,
    FILE_READ,
    FILE_TRUNCATE,
    FILE_WRITE,
    FILE_YIELD,
)
from numa_sim.state.constants import NIL, PAGE_SIZE
from numa_sim.state.kernel import Kernel


@rule
def _begin(k: Kernel, t: int, op: int, file: int, pos: int, length: int) -> None:
    """Start an operation of task `t` on an open file."""
    task = k.tasks[t]
    task.file_op = op
    task.file = file
    task.file_pos = pos
    task.file_left = length
    task.file_done = task.file_error = 0
    task.file_stage = STAGE_FIND


@rule
def file_read_begin(k: Kernel, t: int, file: int, pos: int, length: int) -> None:
    """Start reading `length` bytes from `pos` on; a read ends at the end of the file."""
    _begin(k, t, FILE_READ, file, pos, length)
    k.files[file].max_ahead = 0
    k.tasks[t].file_reada_ok = file_ra_begin(k, file, pos, length)


@rule
def file_write_begin(k: Kernel, t: int, file: int, pos: int, length: int) -> None:
    """Start writing `length` bytes from `pos` on; the file grows if need be."""
    _begin(k, t, FILE_WRITE, file, pos, length)


@rule
def file_fsync_begin(k: Kernel, t: int, file: int) -> None:
    """Start writing everything dirty of the file to its disk."""
    _begin(k, t, FILE_FSYNC, file, 0, 0)


@rule
def file_truncate_begin(k: Kernel, t: int, file: int, size: int) -> None:
    """Start making the file `size` bytes long."""
    rest = PAGE_SIZE - (size & (PAGE_SIZE - 1)) if must_zero_rest(k, k.files[file].f_mapping, size) != 0 else 0
    _begin(k, t, FILE_TRUNCATE, file, size, rest)
    k.tasks[t].file_size = size


@rule
def _step(k: Kernel, t: int) -> int:
    """One step of whatever task `t` is doing."""
    task = k.tasks[t]
    mapping = k.files[task.file].f_mapping
    if task.file_op == FILE_READ:
        return generic_file_read_step(k, t)
    if task.file_op == FILE_WRITE:
        return generic_file_write_step(k, t, mapping, True)
    if task.file_op == FILE_FSYNC:
        return fsync_step(k, t, mapping)
    return truncate_step(k, t, mapping, task.file_size)


@rule
def file_run(k: Kernel, t: int) -> int:
    """Go on with what a ``file_*_begin`` rule started for task `t`, which must be the current one.

    Returns
    -------
    int
        FILE_DONE, FILE_FAILED, FILE_WAIT, FILE_RECLAIM or FILE_YIELD; see the module.
    """
    task = k.tasks[t]
    if task.wait_pfn != NIL:
        pfn = task.wait_pfn + 0
        task.wait_pfn = NIL
        page_cache_release(k, pfn)
    start_ns = task.cost_ns + 0
    quantum_ns = k.vm[0].reclaim_quantum_ns
    while True:
        answer = _step(k, t)
        if answer != GO_ON:
            if answer == FILE_DONE or answer == FILE_FAILED:
                drop_page_in_hand(k, t)
                task.file_op = FILE_IDLE
            return answer
        if io_ring_is_full(k) or (quantum_ns > 0 and task.cost_ns - start_ns >= quantum_ns):
            task.cost_ns = max(task.cost_ns, start_ns + 1)
            return FILE_YIELD


@rule
def abandon_file(k: Kernel, t: int) -> None:
    """Drop what an operation that will not be completed still holds (the task is being killed)."""
    task = k.tasks[t]
    if task.wait_pfn != NIL:
        page_cache_release(k, task.wait_pfn)
        task.wait_pfn = NIL
    drop_page_in_hand(k, t)
    task.file_op = FILE_IDLE
