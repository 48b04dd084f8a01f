"""Binary search trees of areas, as both kinds have them: links, rotations, taking a node out.

An area's record holds its own links (``vm_parent``, ``vm_left``, ``vm_right``), as in the kernel; the order is that
of the addresses.  What keeps a tree balanced is in `numa_sim.kernel.vma_index.avl` and ``rbtree``.
"""

from __future__ import annotations

from numa_sim.compiled import rule
from numa_sim.state.constants import NIL
from numa_sim.state.kernel import Kernel


@rule
def replace_child(k: Kernel, mm: int, parent: int, old: int, new: int) -> None:
    """Put `new` (or NIL) where `old` hung below `parent` (NIL: at the root)."""
    if parent == NIL:
        k.mms[mm].mm_rb = new
    elif k.vmas[parent].vm_left == old:
        k.vmas[parent].vm_left = new
    else:
        k.vmas[parent].vm_right = new
    if new != NIL:
        k.vmas[new].vm_parent = parent


@rule
def rotate_left(k: Kernel, mm: int, node: int) -> int:
    """Lift the right child of `node` into its place; return it."""
    child = k.vmas[node].vm_right + 0
    inner = k.vmas[child].vm_left + 0
    replace_child(k, mm, k.vmas[node].vm_parent, node, child)
    k.vmas[node].vm_right = inner
    if inner != NIL:
        k.vmas[inner].vm_parent = node
    k.vmas[child].vm_left = node
    k.vmas[node].vm_parent = child
    return child


@rule
def rotate_right(k: Kernel, mm: int, node: int) -> int:
    """Lift the left child of `node` into its place; return it."""
    child = k.vmas[node].vm_left + 0
    inner = k.vmas[child].vm_right + 0
    replace_child(k, mm, k.vmas[node].vm_parent, node, child)
    k.vmas[node].vm_left = inner
    if inner != NIL:
        k.vmas[inner].vm_parent = node
    k.vmas[child].vm_right = node
    k.vmas[node].vm_parent = child
    return child


@rule
def add_leaf(k: Kernel, mm: int, vma: int, before: int) -> None:
    """Hang `vma` into the tree as a leaf, right after area `before` (NIL: as the first one)."""
    k.vmas[vma].vm_left = NIL
    k.vmas[vma].vm_right = NIL
    k.vmas[vma].vm_parent = NIL
    if k.mms[mm].mm_rb == NIL:
        k.mms[mm].mm_rb = vma
        return
    if before != NIL and k.vmas[before].vm_right == NIL:
        k.vmas[before].vm_right = vma
        k.vmas[vma].vm_parent = before
        return
    # The place is the leftmost below: the one that follows has no left child.
    parent = k.mms[mm].mm_rb if before == NIL else k.vmas[before].vm_right
    while k.vmas[parent].vm_left != NIL:
        parent = k.vmas[parent].vm_left
    k.vmas[parent].vm_left = vma
    k.vmas[vma].vm_parent = parent


@rule
def take_out(k: Kernel, mm: int, vma: int) -> tuple[int, int, int]:
    """Take `vma` out of the tree; its successor takes its place and rank if it has two children.

    Returns
    -------
    tuple of int
        The child that moved up (NIL: none), the node below which it hangs now (NIL: it is the root), and the rank
        that is missing there.
    """
    area = k.vmas[vma]
    left, right, parent, rank = area.vm_left + 0, area.vm_right + 0, area.vm_parent + 0, area.vm_rank + 0
    if left == NIL or right == NIL:
        child = right if left == NIL else left
        replace_child(k, mm, parent, vma, child)
        return child, parent, rank
    heir = right
    while k.vmas[heir].vm_left != NIL:
        heir = k.vmas[heir].vm_left
    child = k.vmas[heir].vm_right + 0
    missing = k.vmas[heir].vm_rank + 0
    below = heir
    if heir != right:
        below = k.vmas[heir].vm_parent + 0
        replace_child(k, mm, below, heir, child)
        k.vmas[heir].vm_right = right
        k.vmas[right].vm_parent = heir
    replace_child(k, mm, parent, vma, heir)
    k.vmas[heir].vm_left = left
    k.vmas[left].vm_parent = heir
    k.vmas[heir].vm_rank = rank
    return child, below, missing
