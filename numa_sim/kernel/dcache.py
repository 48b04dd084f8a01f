"""The dentry and inode caches: fs/dcache.c and fs/inode.c @2.4, as far as memory needs them (spec 4.7, C-14).

A name that was looked up leaves a dentry and an inode, both objects of slab caches.  While nobody uses them they wait
on lists, the most recent first, until memory is short: then one in `share` of the unused ones goes, the oldest first.
Their slabs go back to the page allocator when `numa_sim.kernel.slab.reap` finds them empty.

Names are numbers, the rows of ``k.dentries``; the first ones are those of files (a file's name is its mapping's row).

Simplified: there are no directories, negative dentries or dirty inodes; a look-up reads nothing from a disk.  An inode
whose file has pages in the page cache is passed over.
"""

from __future__ import annotations

from typing import Final

from numa_sim.compiled import part, rule
from numa_sim.kernel.costs import charge
from numa_sim.kernel.slab.grow import kmem_cache_alloc
from numa_sim.kernel.slab.kernel_caches import DENTRY_CACHE, INODE_CACHE
from numa_sim.kernel.slab.objects import kmem_cache_free
from numa_sim.state.constants import NIL
from numa_sim.state.counters import DENTRIES_PRUNED, INODES_PRUNED
from numa_sim.state.event_codes import EV_SHRINK_DCACHE, EV_SHRINK_ICACHE
from numa_sim.state.events import count, log_event
from numa_sim.state.kernel import Kernel

DENTRY: Final = 0
INODE: Final = 1

# Lists of the unused ------------------------------------------------------------------------------------------------


@rule
def _add_unused(k: Kernel, kind: int, name: int) -> None:
    """Put a dentry nobody uses at the front of dentry_unused, or an inode without a dentry at that of inode_unused."""
    vm = k.vm[0]
    head = vm.unused_head[kind] + 0
    k.dentries[name].next[kind] = head
    k.dentries[name].prev[kind] = NIL
    if head == NIL:
        vm.unused_tail[kind] = name
    else:
        k.dentries[head].prev[kind] = name
    vm.unused_head[kind] = name
    vm.nr_unused[kind] += 1


@rule
def _del_unused(k: Kernel, kind: int, name: int) -> None:
    """Take a dentry or an inode off its list of the unused."""
    vm = k.vm[0]
    before = k.dentries[name].prev[kind] + 0
    after = k.dentries[name].next[kind] + 0
    if before == NIL:
        vm.unused_head[kind] = after
    else:
        k.dentries[before].next[kind] = after
    if after == NIL:
        vm.unused_tail[kind] = before
    else:
        k.dentries[after].prev[kind] = before
    vm.nr_unused[kind] -= 1


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
        _add_unused(k, DENTRY, name)
        if entry.i_object != 0:
            _del_unused(k, INODE, name)
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
        _del_unused(k, DENTRY, name)
    k.dentries[name].d_count += 1


@rule
def dput(k: Kernel, name: int) -> None:
    """One user fewer; with the last one the dentry stays in the cache, unused."""
    if k.dentries[name].d_count == 0:
        return
    k.dentries[name].d_count -= 1
    if k.dentries[name].d_count == 0:
        _add_unused(k, DENTRY, name)


# Under pressure ------------------------------------------------------------------------------------------------------


@rule
def prune_dcache(k: Kernel, wanted: int) -> None:
    """Drop `wanted` unused dentries from the old end, 0: all.  One used since its last visit gets another round."""
    node = k.cpus[k.vm[0].current_cpu].node
    while k.vm[0].unused_tail[DENTRY] != NIL:
        name = k.vm[0].unused_tail[DENTRY] + 0
        entry = k.dentries[name]
        charge(k, k.costs[0].scan_page_ns)
        _del_unused(k, DENTRY, name)
        if entry.d_referenced != 0:
            entry.d_referenced = 0
            _add_unused(k, DENTRY, name)
            continue
        kmem_cache_free(k, DENTRY_CACHE, entry.d_object)
        entry.d_object = 0
        if entry.i_object != 0:
            _add_unused(k, INODE, name)
        count(k, node, DENTRIES_PRUNED, 1)
        wanted -= 1
        if wanted == 0:
            return


@rule
def prune_icache(k: Kernel, wanted: int) -> None:
    """Drop `wanted` unused inodes from the old end, 0: all; those whose files have pages stay."""
    node = k.cpus[k.vm[0].current_cpu].node
    name = k.vm[0].unused_tail[INODE] + 0
    while name != NIL:
        before = k.dentries[name].prev[INODE] + 0
        charge(k, k.costs[0].scan_page_ns)
        if name >= k.mappings.shape[0] or k.mappings[name].nrpages == 0:
            _del_unused(k, INODE, name)
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
    if vm.nr_unused[DENTRY] > 0:
        prune_dcache(k, vm.nr_unused[DENTRY] // share if share > 0 else 0)
    log_event(k, EV_SHRINK_ICACHE, share, 0)
    if vm.nr_unused[INODE] > 0:
        prune_icache(k, vm.nr_unused[INODE] // share if share > 0 else 0)
