"""AVL trees of areas: mm/mmap_avl.c of 2.2 and 2.4.0 (spec 8.1); ``vm_rank`` is the height of the subtree."""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.kernel.vma_index.tree import add_leaf, rotate_left, rotate_right, take_out
from numa_sim.state.constants import NIL
from numa_sim.state.kernel import Kernel


@rule
def _height(k: Kernel, node: int) -> int:
    return 0 if node == NIL else k.vmas[node].vm_rank + 0


@rule
def _measure(k: Kernel, node: int) -> None:
    """Set the height of `node` from those of its children."""
    left, right = _height(k, k.vmas[node].vm_left), _height(k, k.vmas[node].vm_right)
    k.vmas[node].vm_rank = 1 + max(left, right)


@rule
def _rebalance(k: Kernel, mm: int, lowest: int) -> None:
    """From `lowest` up to the root: heights, and rotations wherever two subtrees differ by two."""
    node = lowest
    while node != NIL:
        left, right = k.vmas[node].vm_left + 0, k.vmas[node].vm_right + 0
        lean = _height(k, left) - _height(k, right)
        top = node
        if lean > 1:
            if _height(k, k.vmas[left].vm_left) < _height(k, k.vmas[left].vm_right):
                rotate_left(k, mm, left)
                _measure(k, left)
            top = rotate_right(k, mm, node)
        elif lean < -1:
            if _height(k, k.vmas[right].vm_right) < _height(k, k.vmas[right].vm_left):
                rotate_right(k, mm, right)
                _measure(k, right)
            top = rotate_left(k, mm, node)
        _measure(k, node)
        _measure(k, top)
        node = k.vmas[top].vm_parent + 0


@rule
def avl_insert(k: Kernel, mm: int, vma: int, before: int) -> None:
    """Insert `vma` right after area `before` (NIL: as the first one)."""
    add_leaf(k, mm, vma, before)
    _rebalance(k, mm, vma)


@rule
def avl_remove(k: Kernel, mm: int, vma: int) -> None:
    """Take `vma` out."""
    _, below, _ = take_out(k, mm, vma)
    _rebalance(k, mm, below)


@rule
def build_mmap_avl(k: Kernel, mm: int) -> None:
    """Make the tree of all areas on the list."""
    before = NIL
    vma = k.mms[mm].mmap + 0
    while vma != NIL:
        avl_insert(k, mm, vma, before)
        before = vma
        vma = k.vmas[vma].vm_next + 0
