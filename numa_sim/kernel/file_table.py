"""Open files: fs/file_table.c and struct file @2.4, with the read-ahead window each has.

A task opens a file for itself (there is no fork); memory areas that map it keep it open.  File 0 is none.
"""

from __future__ import annotations

from numa_sim.errors import SimulationError
from numa_sim.state.kernel import Kernel


def open_file(k: Kernel, mapping: int) -> int:
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
    file.f_mapping, file.f_count, file.f_pos = mapping, 1, 0
    file.f_raend = file.f_ramax = file.f_ralen = file.f_rawin = file.ahead = file.max_ahead = 0
    return number


def get_file(k: Kernel, file: int) -> None:
    """One user more (an area that maps it)."""
    k.files[file].f_count += 1


def fput(k: Kernel, file: int) -> None:
    """One user fewer; with the last one the record is free."""
    k.files[file].f_count -= 1
