"""Shared memory without a file: what mmap of 2.4 gives for an anonymous MAP_SHARED (mm/shmem.c:shmem_zero_setup).

An object of its own, of the size mapped, whose pages are all holes: the first fault on each gives a page of zeros in
the page cache, and every area that maps the object shows that page.  It goes with the last area that maps it.

How its pages go to swap and come back: `numa_sim.kernel.shmem_swap`.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.shmem_swap import shmem_truncate
from numa_sim.kernel.truncate import truncate_inode_pages
from numa_sim.state.constants import (
    FMODE_READ,
    FMODE_WRITE,
    KIND_FILE,
    KIND_INODE,
    MAPPING_SWAP,
    NIL,
    PAGE_SHIFT,
    WRITEPAGE_NONE,
    WRITEPAGE_SHMEM,
)
from numa_sim.state.kernel import Kernel


@rule
def _free_mapping(k: Kernel) -> int:
    for mapping in range(MAPPING_SWAP + 1, k.mappings.shape[0]):
        space = k.mappings[mapping]
        if space.kind == KIND_FILE and space.nrpages == 0 and space.writepage == WRITEPAGE_NONE:
            return mapping
    return NIL


@rule
def _free_file(k: Kernel) -> int:
    for number in range(1, k.files.shape[0]):
        if k.files[number].f_count == 0:
            return number
    return NIL


@rule
def shmem_zero_setup(k: Kernel, pages: int) -> int:
    """An open file on a new object of `pages` pages of zeros, used once; NIL if there is no record for it (ENFILE)."""
    mapping, number = _free_mapping(k), _free_file(k)
    if mapping == NIL or number == NIL:
        return NIL
    space = k.mappings[mapping]
    space.kind = KIND_INODE
    space.writepage = WRITEPAGE_SHMEM
    space.i_size = pages << PAGE_SHIFT
    space.device = NIL
    space.i_writecount = 0
    file = k.files[number]
    file.f_mapping = mapping
    file.f_count = 1
    file.f_mode = FMODE_READ | FMODE_WRITE
    return number


@rule
def shmem_delete_inode(k: Kernel, mapping: int) -> None:
    """Drop an object nobody maps any more, with its pages."""
    truncate_inode_pages(k, mapping, 0)
    space = k.mappings[mapping]
    shmem_truncate(k, mapping, space.i_size >> PAGE_SHIFT)
    space.kind = KIND_FILE
    space.writepage = WRITEPAGE_NONE
    space.i_size = 0
    space.device = 0
