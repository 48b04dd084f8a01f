"""The dentry and inode caches: fs/dcache.c and fs/inode.c @2.4, as far as memory needs them (spec 4.7, C-14).

A name that was looked up leaves a dentry and an inode, both objects of slab caches.  While nobody uses them they wait
on lists, the most recent first, until memory is short: then one in `share` of the unused ones goes, the oldest first.
Their slabs go back to the page allocator when `numa_sim.kernel.slab.reap` finds them empty.

Names are numbers, the rows of ``k.dentries``; the first ones are those of files (a file's name is its mapping's row).

Simplified: there are no directories, negative dentries or dirty inodes; a look-up reads nothing from a disk.  An inode
whose file has pages in the page cache is passed over.
"""

from __future__ import annotations

from numa_sim.compiled import part, rule
from numa_sim.kernel.costs import charge
from numa_sim.kernel.slab.grow import kmem_cache_alloc
from numa_sim.kernel.slab.kernel_caches import DENTRY_CACHE, INODE_CACHE
from numa_sim.kernel.slab.objects import kmem_cache_free
from numa_sim.state.constants import (
    DENTRIES_PRUNED,
    EV_SHRINK_DCACHE,
    EV_SHRINK_ICACHE,
    INODES_PRUNED,
    NIL,
)
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

# Lists of the unused ------------------------------------------------------------------------------------------------


@rule
def _add_dentry(k: Kernel, name: int) -> None:
    """Put a dentry nobody uses at the front of dentry_unused."""
    vm = k.vm[0]
    head = vm.dentry_unused_head + 0
    k.dentries[name].d_next = head
    k.dentries[name].d_prev = NIL
    if head == NIL:
        vm.dentry_unused_tail = name
    else:
        k.dentries[head].d_prev = name
    vm.dentry_unused_head = name
    vm.nr_dentry_unused += 1


@rule
def _del_dentry(k: Kernel, name: int) -> None:
    """Take a dentry off dentry_unused."""
    vm = k.vm[0]
    before = k.dentries[name].d_prev + 0
    after = k.dentries[name].d_next + 0
    if before == NIL:
        vm.dentry_unused_head = after
    else:
        k.dentries[before].d_next = after
    if after == NIL:
        vm.dentry_unused_tail = before
    else:
        k.dentries[after].d_prev = before
    vm.nr_dentry_unused -= 1


@rule
def _add_inode(k: Kernel, name: int) -> None:
    """Put an inode without a dentry at the front of inode_unused."""
    vm = k.vm[0]
    head = vm.inode_unused_head + 0
    k.dentries[name].i_next = head
    k.dentries[name].i_prev = NIL
    if head == NIL:
        vm.inode_unused_tail = name
    else:
        k.dentries[head].i_prev = name
    vm.inode_unused_head = name
    vm.nr_inode_unused += 1


@rule
def _del_inode(k: Kernel, name: int) -> None:
    """Take an inode off inode_unused."""
    vm = k.vm[0]
    before = k.dentries[name].i_prev + 0
    after = k.dentries[name].i_next + 0
    if before == NIL:
        vm.inode_unused_head = after
    else:
        k.dentries[before].i_next = after
    if after == NIL:
        vm.inode_unused_tail = before
    else:
        k.dentries[after].i_prev = before
    vm.nr_inode_unused -= 1


# Look-up -------------------------------------------------------------------------------------------------------------


@rule
def d_lookup(k: Kernel, t: int, name: int, gfp: int) -> int:
    """See that a name's dentry and inode are in their caches, on the time of task `t` (d_lookup, d_alloc, iget).

    Returns
    -------
    int
        0; ALLOC_FAIL; ALLOC_RECLAIM: call again, it goes on with what is still there.
    """
    charge(k, k.costs[0].syscall_ns)
    entry = k.dentries[name]
    if entry.d_object != 0 and entry.i_object != 0:
        entry.d_referenced = 1
        return 0
    if entry.d_object == 0:
        address = kmem_cache_alloc(k, t, DENTRY_CACHE, gfp)
        if address < 0:
            return address
        entry.d_object = address
        entry.d_referenced = 0
        _add_dentry(k, name)
        if entry.i_object != 0:
            _del_inode(k, name)
    if entry.i_object == 0:
        address = kmem_cache_alloc(k, t, INODE_CACHE, gfp)
        if address < 0:
            return address
        entry.i_object = address
    return 0


@rule
def dget(k: Kernel, name: int) -> None:
    """One user more of a dentry that is in the cache: it is not unused."""
    if k.dentries[name].d_object == 0:
        return
    if k.dentries[name].d_count == 0:
        _del_dentry(k, name)
    k.dentries[name].d_count += 1


@rule
def dput(k: Kernel, name: int) -> None:
    """One user fewer; with the last one the dentry stays in the cache, unused."""
    if k.dentries[name].d_count == 0:
        return
    k.dentries[name].d_count -= 1
    if k.dentries[name].d_count == 0:
        _add_dentry(k, name)


# Under pressure ------------------------------------------------------------------------------------------------------


@rule
def prune_dcache(k: Kernel, wanted: int) -> None:
    """Drop `wanted` unused dentries from the old end, 0: all.  One used since its last visit gets another round."""
    node = k.cpus[k.vm[0].current_cpu].node
    while k.vm[0].dentry_unused_tail != NIL:
        name = k.vm[0].dentry_unused_tail + 0
        entry = k.dentries[name]
        charge(k, k.costs[0].scan_page_ns)
        _del_dentry(k, name)
        if entry.d_referenced != 0:
            entry.d_referenced = 0
            _add_dentry(k, name)
            continue
        kmem_cache_free(k, DENTRY_CACHE, entry.d_object)
        entry.d_object = 0
        if entry.i_object != 0:
            _add_inode(k, name)
        count(k, node, DENTRIES_PRUNED, 1)
        wanted -= 1
        if wanted == 0:
            return


@rule
def prune_icache(k: Kernel, wanted: int) -> None:
    """Drop `wanted` unused inodes from the old end, 0: all; those whose files have pages stay."""
    node = k.cpus[k.vm[0].current_cpu].node
    name = k.vm[0].inode_unused_tail + 0
    while name != NIL:
        before = k.dentries[name].i_prev + 0
        charge(k, k.costs[0].scan_page_ns)
        if name >= k.mappings.shape[0] or k.mappings[name].nrpages == 0:
            _del_inode(k, name)
            kmem_cache_free(k, INODE_CACHE, k.dentries[name].i_object)
            k.dentries[name].i_object = 0
            count(k, node, INODES_PRUNED, 1)
            wanted -= 1
            if wanted == 0:
                return
        name = before


@part
def shrink_vfs(k: Kernel, share: int) -> None:
    """shrink_dcache_memory and shrink_icache_memory: one in `share` unused entries goes.

    A quotient of 0, because there are few or `share` is 0, drops everything (spec C-14).
    """
    vm = k.vm[0]
    log_event(k, EV_SHRINK_DCACHE, share, 0)
    if vm.nr_dentry_unused > 0:
        prune_dcache(k, vm.nr_dentry_unused // share if share > 0 else 0)
    log_event(k, EV_SHRINK_ICACHE, share, 0)
    if vm.nr_inode_unused > 0:
        prune_icache(k, vm.nr_inode_unused // share if share > 0 else 0)
