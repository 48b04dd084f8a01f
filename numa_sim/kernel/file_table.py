"""Open files: fs/file_table.c and struct file @2.4, with the read-ahead window each has.

Memory areas that map a file keep it open.  File 0 is none.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.errors import SimulationError
from numa_sim.kernel.shmem import shmem_delete_inode
from numa_sim.state.constants import FMODE_READ, FMODE_WRITE, NIL
from numa_sim.state.kernel import Kernel


def open_file(k: Kernel, mapping: int, mode: int = FMODE_READ | FMODE_WRITE) -> int:
    """A new open file on `mapping`, at position 0, without a read-ahead window (get_empty_filp).

    Raises
    ------
    SimulationError
        All records are in use (ENFILE).
    """
    for number in range(1, len(k.files)):
        if k.files[number].f_count == 0:
            break
    else:
        raise SimulationError(f"more than {len(k.files) - 1} open files at a time")
    file = k.files[number]
    file.f_mapping, file.f_count, file.f_pos, file.f_mode = mapping, 1, 0, mode
    file.f_raend = file.f_ramax = file.f_ralen = file.f_rawin = file.ahead = file.max_ahead = 0
    return number


@rule
def get_file(k: Kernel, file: int) -> None:
    """One user more (an area that maps it)."""
    k.files[file].f_count += 1


@rule
def fput(k: Kernel, file: int) -> None:
    """One user fewer; with the last one the record is free, and shared memory without a name is gone."""
    k.files[file].f_count -= 1
    mapping = k.files[file].f_mapping + 0
    if k.files[file].f_count == 0 and k.mappings[mapping].device == NIL:
        shmem_delete_inode(k, mapping)
