"""Reclaim by a replacement policy instead of the profile's own lists: ``[kernel] reclaim``.

A policy says which page goes (`numa_sim.policies`); compiled rules take it out (`numa_sim.kernel.eviction`); here is
decided when, with the protocol of `numa_sim.kernel.vmscan`: `begin`, then `run` until it answers RECLAIM_DONE or
RECLAIM_FAILED.  So kswapd and direct reclaim need not know who decides.  Each node has a policy of its own for its
frames: for a shortage on one node, a page of another is of no use.

A victim goes through two queues per node: *staged* (only if the policy stages), unmapped and rescued by a use; and
*leaving*, being written, and freed when that has ended.

Simplified: what a policy computes costs no simulated time.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from numa_sim.compiled import entry
from numa_sim.errors import PolicyError
from numa_sim.kernel.eviction import (
    OUT_FREED,
    OUT_RESCUED,
    OUT_STAYS,
    OUT_WRITING,
    VICTIM_FREED,
    VICTIM_GONE,
    VICTIM_STAYS,
    unmap_victim,
    write_or_free,
)
from numa_sim.kernel.filemap import page_cache_release
from numa_sim.kernel.vmscan import reclaim_begin, reclaim_run
from numa_sim.policies import PROCESS_SHIFT, Policy
from numa_sim.processes.page_watch import PageWatch
from numa_sim.state.answers import RECLAIM_DONE, RECLAIM_FAILED, RECLAIM_WAIT, RECLAIM_YIELD
from numa_sim.state.constants import (
    BUFFERS_BUSY,
    GFP_KSWAPD,
    KSWAPD,
    NIL,
    NR_ZONES,
    SWAP_CLUSTER_MAX,
    TRACK_MAPPED,
    TRACK_USES,
    WMARK_HIGH,
    PG_locked,
)
from numa_sim.state.counters import POLICY_RESCUES, POLICY_VICTIMS
from numa_sim.state.rows import row
from numa_sim.workloads.streams import stream

if TYPE_CHECKING:
    from numa_sim.state.kernel import Kernel

_unmap_victim = entry(unmap_victim)
_write_or_free = entry(write_or_free)
_page_cache_release = entry(page_cache_release)
_reclaim_begin = entry(reclaim_begin)
_reclaim_run = entry(reclaim_run)

_VPN_MASK = (1 << PROCESS_SHIFT) - 1


class Reclaim(Protocol):
    """Who frees pages when memory is short."""

    def begin(self, task: int, zone: int, gfp: int) -> None:
        """Start freeing pages of the class of `zone` for `task`."""

    def run(self, task: int) -> int:
        """Go on; RECLAIM_DONE, RECLAIM_FAILED, RECLAIM_WAIT or RECLAIM_YIELD."""

    def along_with(self, mm: int, vpn: int) -> Sequence[int]:
        """Pages of `mm` to read from swap now that `vpn` has been."""

    def after_write(self) -> None:
        """Pages have been written."""


class KernelReclaim:
    """The profile's own try_to_free_pages."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def begin(self, task: int, zone: int, gfp: int) -> None:
        """See `numa_sim.kernel.vmscan.reclaim_begin`."""
        _reclaim_begin(self.kernel, task, zone, gfp)

    def run(self, task: int) -> int:
        """See `numa_sim.kernel.vmscan.reclaim_run`."""
        return int(_reclaim_run(self.kernel, task))

    def along_with(self, mm: int, vpn: int) -> Sequence[int]:
        """None: read-ahead goes by swap slots."""
        return ()

    def after_write(self) -> None:
        """Nothing: the next scan finds them clean."""


class Out(NamedTuple):
    """A page that was unmapped: what it was called, and where in its mapping it is (swap entry)."""

    page: int
    at: int


@dataclass
class Node:
    """A node's policy and the pages it has given up."""

    number: int
    policy: Policy
    frame_of: dict[int, int] = field(default_factory=dict)  # pages the policy has
    staged: OrderedDict[int, Out] = field(default_factory=OrderedDict)  # by frame, oldest first
    leaving: OrderedDict[int, Out] = field(default_factory=OrderedDict)
    freed: int = 0  # frames, so far

    def is_out(self, pfn: int, page: int) -> bool:
        """Whether this page is in a queue, unmapped, in this frame."""
        out = self.staged.get(pfn) or self.leaving.get(pfn)
        return out is not None and out.page == page


@dataclass
class Round:
    """One try_to_free_pages."""

    node: Node
    zone: int
    wanted: int
    needed_by: int | None
    tries: int
    freed_before: int
    stayed: int = 0

    @property
    def freed(self) -> int:
        """Frames of the node that became free since it began, whoever saw to it."""
        return self.node.freed - self.freed_before


class PolicyReclaim:
    """Reclaim by a policy.

    Parameters
    ----------
    kernel : Kernel
        Booted, with ``Sizes.track_use``.
    policy : Policy
        Each node gets a copy.
    ahead_pages : int
        Pages kept ready ahead of need beyond the high mark: free ones, or staged if the policy stages.
    seed : int
        The run's.
    """

    def __init__(self, kernel: Kernel, policy: Policy, ahead_pages: int, seed: int) -> None:
        self.kernel = kernel
        self.ahead_pages = ahead_pages
        self.vm = row(kernel.vm, 0)
        by_bits = policy.observes == "accessed bits"
        self.vm.track_use = TRACK_MAPPED if by_bits else TRACK_USES
        self.watch = PageWatch(kernel, by_bits, policy.takes_files)
        self.nodes = [self._start(number, deepcopy(policy), seed) for number in range(len(kernel.nodes))]
        self._records: dict[int, Any] = {}
        self._rounds: dict[int, Round] = {}
        self._record(KSWAPD).reclaim_gfp = GFP_KSWAPD
        self._yield_ns = int(kernel.costs[0].context_switch_ns)
        self._waiters: Counter[int] = Counter()  # by frame
        self._flags = kernel.pages["flags"].view(np.ndarray)
        self._buffers = kernel.pages["buffers"].view(np.ndarray)
        self._count = kernel.pages["count"].view(np.ndarray)
        self._index = kernel.pages["index"].view(np.ndarray)
        self._node_of = kernel.section_zone // NR_ZONES

    def _start(self, number: int, policy: Policy, seed: int) -> Node:
        zones = self.kernel.zones[number * NR_ZONES : (number + 1) * NR_ZONES]
        policy.start(int(zones["free_pages"].sum()), stream(seed, f"policy/{policy.name}/node{number}"))
        return Node(number, policy)

    def begin(self, task: int, zone: int, gfp: int) -> None:
        """Start a round for `task`: one page, 32, or for kswapd as many as are missing."""
        record = self._record(task)
        record.reclaim_zone, record.reclaim_gfp = zone, gfp
        node = self.nodes[zone // NR_ZONES]
        wanted, needed_by = SWAP_CLUSTER_MAX, None
        if task != KSWAPD:
            needed_by = record.mm << PROCESS_SHIFT | record.fault_vpn
        if not node.policy.in_background:
            wanted = 1
        elif task == KSWAPD:
            wanted = max(wanted, self._missing(zone, 0 if node.policy.staged else self.ahead_pages))
        self._rounds[task] = Round(node, zone, wanted, needed_by, self.vm.vm_passes, node.freed)

    def _missing(self, zone: int, ahead_pages: int) -> int:
        """Pages `zone` is short of its high mark and `ahead_pages` more."""
        record = self.kernel.zones[zone]
        mark = int(record["watermarks"][int(record["index"]), WMARK_HIGH])
        return mark + 1 + ahead_pages - int(record["free_pages"])

    def run(self, task: int) -> int:
        """Go on with the round of `task`."""
        record, this = self._record(task), self._rounds[task]
        if record.wait_pfn != NIL:
            pfn, record.wait_pfn = record.wait_pfn, NIL
            self._waiters[pfn] -= 1
            _page_cache_release(self.kernel, pfn)
        start_ns = record.cost_ns
        while True:
            self._free_written(task, this.node)
            if this.freed >= this.wanted:
                return RECLAIM_DONE
            missing = this.wanted - this.freed - len(this.node.leaving)
            if missing <= 0 or self._choose(task, this, min(missing, SWAP_CLUSTER_MAX)) == 0:
                return self._wait(record, this)
            if record.cost_ns - start_ns >= self.vm.reclaim_quantum_ns:
                return RECLAIM_YIELD

    def along_with(self, mm: int, vpn: int) -> Sequence[int]:
        """What the policies want back together with a page."""
        page = mm << PROCESS_SHIFT | vpn
        return [other & _VPN_MASK for node in self.nodes for other in node.policy.along_with(page)]

    def _record(self, task: int) -> Any:
        if task not in self._records:
            self._records[task] = row(self.kernel.tasks, task)
        return self._records[task]

    def _wait(self, record: Any, this: Round) -> int:
        """Nothing can be done now: wait for the oldest write or any other transfer, let others run, or give up.

        A page under I/O cannot go before that ends, and may be all there is to choose from; so nobody gives up
        while there is one.
        """
        pfn = next(filter(self._under_io, this.node.leaving), NIL)
        if pfn == NIL:
            if this.freed:
                return RECLAIM_DONE
            pfn = self._any_under_io(this.node)
        if pfn != NIL:
            self._count[pfn] += 1
            self._waiters[pfn] += 1
            record.wait_pfn = pfn
            return RECLAIM_WAIT
        this.tries -= 1
        if not this.stayed or this.tries == 0:
            return RECLAIM_FAILED
        record.cost_ns += max(1, self._yield_ns)  # never free of charge, or nobody else's time would come
        return RECLAIM_YIELD

    def _under_io(self, pfn: int) -> bool:
        return bool(self._flags[pfn] & PG_locked) or self._buffers[pfn] >= BUFFERS_BUSY

    def _any_under_io(self, node: Node) -> int:
        """The lowest frame of a node that is being read or written; NIL if there is none."""
        record = self.kernel.nodes[node.number]
        first = int(record.node_start_pfn)
        frames = slice(first, first + int(record.node_size))
        busy = np.flatnonzero((self._flags[frames] & PG_locked != 0) | (self._buffers[frames] >= BUFFERS_BUSY))
        return first + int(busy[0]) if len(busy) else NIL

    # Choosing --------------------------------------------------------------------------------------------------------

    def _choose(self, task: int, this: Round, wanted: int) -> int:
        """Have victims chosen and set out on their way; how many frames became free or are being written."""
        self.tell()
        node, policy = this.node, this.node.policy
        lack = wanted
        if policy.staged:
            lack = max(self.ahead_pages, SWAP_CLUSTER_MAX, wanted) - len(node.staged)
        began, this.stayed = this.freed + len(node.leaving), 0
        if lack > 0:
            policy.needed_by = this.needed_by
            for page in policy.victims(lack):
                self._unmap(task, this, page)
            policy.needed_by = None
        while policy.staged and node.staged and this.freed + len(node.leaving) - began < wanted:
            self._let_go(task, node, *node.staged.popitem(last=False))
        return this.freed + len(node.leaving) - began

    def tell(self) -> None:
        """Tell the policies what has happened to their pages."""
        gone, seen = self.watch.look()
        for page, pfn in gone:
            node = self.nodes[self._node_at(pfn)]
            del node.frame_of[page]
            node.policy.remove(page)
        for page, pfn, is_new, in_use, written in seen:
            node = self.nodes[self._node_at(pfn)]
            if not is_new:
                node.policy.touch(page, written)
            elif not node.is_out(pfn, page):
                node.frame_of[page] = pfn
                node.policy.insert(page, written)
            elif in_use:
                node.staged.pop(pfn, None)
                node.leaving.pop(pfn, None)
                self._rescued(node, page, pfn, written)
            else:
                self.watch.forget(pfn)

    def _rescued(self, node: Node, page: int, pfn: int, written: bool) -> None:
        """A page on its way out was used: the policy has it again."""
        node.frame_of[page] = pfn
        node.policy.rescue(page, written)
        self.kernel.vmstat[node.number, POLICY_RESCUES] += 1

    def _node_at(self, pfn: int) -> int:
        return int(self._node_of[pfn >> self.vm.section_shift])

    def _unmap(self, task: int, this: Round, page: int) -> None:
        """Unmap a victim and put it in the first of its queues; a page that must stay goes back to the policy."""
        node = this.node
        pfn = node.frame_of.pop(page, NIL)
        if pfn == NIL:
            raise PolicyError(node.policy.name, f"chose page {page:#x}, which is not in memory")
        self.kernel.vmstat[node.number, POLICY_VICTIMS] += 1
        write_always = int(node.policy.writes == "all")
        mm, vpn = page >> PROCESS_SHIFT, page & _VPN_MASK
        answer = _unmap_victim(self.kernel, task, mm, vpn, write_always)
        if answer == VICTIM_STAYS:
            this.stayed += 1
            node.frame_of[page] = pfn
            node.policy.insert(page, False)
            return
        self.watch.forget(pfn)
        if answer == VICTIM_FREED:
            node.freed += 1
        elif answer != VICTIM_GONE:
            out = Out(page, int(self._index[pfn]))
            if not node.policy.staged:
                self._let_go(task, node, pfn, out)
            else:
                node.staged[pfn] = out
                if write_always:
                    _write_or_free(self.kernel, task, pfn, mm, vpn, out.at, 0, 0, 0)

    # Leaving ---------------------------------------------------------------------------------------------------------

    def _let_go(self, task: int, node: Node, pfn: int, out: Out) -> None:
        """Write or free an unmapped page; one that was used meanwhile or is held by others is the policy's again."""
        mm, vpn, waiters = out.page >> PROCESS_SHIFT, out.page & _VPN_MASK, self._waiters[pfn]
        used = int(self.watch.used_since(pfn))
        answer = _write_or_free(self.kernel, task, pfn, mm, vpn, out.at, used, waiters, 1)
        if answer == OUT_FREED:
            node.freed += 1
        elif answer == OUT_WRITING:
            node.leaving[pfn] = out
        elif answer in (OUT_RESCUED, OUT_STAYS):
            self.watch.remember(out.page, pfn)
            self._rescued(node, out.page, pfn, written=False)

    def _free_written(self, task: int, node: Node) -> None:
        """Free the pages whose writes have ended, up to the first that is still being written."""
        while node.leaving and not self._under_io(next(iter(node.leaving))):
            self._let_go(task, node, *node.leaving.popitem(last=False))

    def after_write(self) -> None:
        """Free what has been written, counted as kswapd's."""
        for node in self.nodes:
            self._free_written(KSWAPD, node)
