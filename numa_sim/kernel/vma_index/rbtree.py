"""Red-black trees of areas: lib/rbtree.c, which late 2.4 uses (spec 8.1); ``vm_rank`` is the colour.

The root is black, a red node has no red child, and every way down passes equally many black nodes.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import rule
from numa_sim.kernel.vma_index.tree import add_leaf, rotate_left, rotate_right, take_out
from numa_sim.state.constants import NIL
from numa_sim.state.kernel import Kernel

RED: Final = 0
BLACK: Final = 1


@rule
def _is_red(k: Kernel, node: int) -> bool:
    return node != NIL and k.vmas[node].vm_rank == RED


@rule
def rb_insert(k: Kernel, mm: int, vma: int, before: int) -> None:
    """Insert `vma` right after area `before` (NIL: as the first one)."""
    add_leaf(k, mm, vma, before)
    k.vmas[vma].vm_rank = RED
    node = vma
    while _is_red(k, k.vmas[node].vm_parent):
        parent = k.vmas[node].vm_parent + 0
        grand = k.vmas[parent].vm_parent + 0
        on_left = k.vmas[grand].vm_left == parent
        uncle = k.vmas[grand].vm_right + 0 if on_left else k.vmas[grand].vm_left + 0
        if _is_red(k, uncle):
            k.vmas[parent].vm_rank = BLACK
            k.vmas[uncle].vm_rank = BLACK
            k.vmas[grand].vm_rank = RED
            node = grand
            continue
        if on_left:
            if k.vmas[parent].vm_right == node:
                rotate_left(k, mm, parent)
            top = rotate_right(k, mm, grand)
        else:
            if k.vmas[parent].vm_left == node:
                rotate_right(k, mm, parent)
            top = rotate_left(k, mm, grand)
        k.vmas[top].vm_rank = BLACK
        k.vmas[grand].vm_rank = RED
        break
    k.vmas[k.mms[mm].mm_rb].vm_rank = BLACK


@rule
def rb_erase(k: Kernel, mm: int, vma: int) -> None:
    """Take `vma` out; if a black node is missing on one side now, repair that from there up."""
    node, parent, missing = take_out(k, mm, vma)
    if missing == BLACK:
        _repair(k, mm, node, parent)


@rule
def _repair(k: Kernel, mm: int, start: int, start_parent: int) -> None:
    """One black node too few on the ways through `start` (perhaps NIL) below `start_parent`."""
    node, parent = start, start_parent
    while parent != NIL and not _is_red(k, node):
        on_left = k.vmas[parent].vm_left == node
        sibling = k.vmas[parent].vm_right + 0 if on_left else k.vmas[parent].vm_left + 0
        if _is_red(k, sibling):
            k.vmas[sibling].vm_rank = BLACK
            k.vmas[parent].vm_rank = RED
            if on_left:
                rotate_left(k, mm, parent)
            else:
                rotate_right(k, mm, parent)
            sibling = k.vmas[parent].vm_right + 0 if on_left else k.vmas[parent].vm_left + 0
        near = k.vmas[sibling].vm_left + 0 if on_left else k.vmas[sibling].vm_right + 0
        far = k.vmas[sibling].vm_right + 0 if on_left else k.vmas[sibling].vm_left + 0
        if not _is_red(k, near) and not _is_red(k, far):
            k.vmas[sibling].vm_rank = RED
            node = parent
            parent = k.vmas[node].vm_parent + 0
            continue
        if not _is_red(k, far):
            k.vmas[near].vm_rank = BLACK
            k.vmas[sibling].vm_rank = RED
            far = sibling
            sibling = rotate_right(k, mm, sibling) if on_left else rotate_left(k, mm, sibling)
        k.vmas[sibling].vm_rank = k.vmas[parent].vm_rank
        k.vmas[parent].vm_rank = BLACK
        k.vmas[far].vm_rank = BLACK
        if on_left:
            rotate_left(k, mm, parent)
        else:
            rotate_right(k, mm, parent)
        return
    if node != NIL:
        k.vmas[node].vm_rank = BLACK
