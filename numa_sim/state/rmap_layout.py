"""What the reverse map keeps, as numpy records (see `numa_sim.state.layout`); arrays of one record when it is off."""

from __future__ import annotations

import numpy as np

RMAP = np.dtype(
    [
        # What struct page has in kernels with a reverse map; a frame that no PTE maps has 0 everywhere
        ("mapping", "i4"),  # anon_vma << 1 | PAGE_MAPPING_ANON, or the file's mapping << 1
        ("mapcount", "i4"),  # PTEs that map the frame (the kernel's _mapcount + 1)
        ("index", "i8"),  # page offset in the file, or linear_page_index
    ],
    align=True,
)

ANON_VMA = np.dtype(
    [
        # struct anon_vma @5.4
        ("used", "i8"),
        ("root", "i8"),
        ("parent", "i8"),
        ("num_children", "i8"),
        ("num_active_vmas", "i8"),  # areas whose `anon_vma` it is
        ("refcount", "i8"),  # 1 for a chain that is not empty, 1 for each anon_vma whose parent it is
        ("rb_root", "i8"),  # first anon_vma_chain, NIL = none; a list here
        ("next_free", "i8"),
    ],
    align=True,
)

ANON_VMA_CHAIN = np.dtype(
    [
        # struct anon_vma_chain @5.4: links one area with one anon_vma
        ("vma", "i8"),
        ("anon_vma", "i8"),
        ("same_vma", "i8"),  # next of the area's chain, NIL = last; while free: the next free one
        ("rb_next", "i8"),  # next of the anon_vma
        ("rb_prev", "i8"),
        ("shift", "i8"),  # ours: a page of index i lies at virtual page i - shift of this area
    ],
    align=True,
)
