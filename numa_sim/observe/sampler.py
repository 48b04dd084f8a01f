"""The time series of a run: what the counters said at each sample.

A sample copies a few numbers per node, swap area and CPU out of the state arrays into growing int64 buffers; it
writes nothing there, so a run is the same run however often it is sampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from numa_sim.errors import InvariantViolation
from numa_sim.kernel.v2_2.buddy import blocks_by_zone
from numa_sim.state.constants import KERNEL_2_2, MAX_ORDER, NR_ZONES
from numa_sim.state.counters import VMSTAT
from numa_sim.state.kernel import Kernel

__all__ = [
    "BUDDY_COLUMNS",
    "CPU_COLUMNS",
    "DISK_COLUMNS",
    "NODE_COLUMNS",
    "SWAP_COLUMNS",
    "Column",
    "Series",
    "TimeSeries",
]


@dataclass(frozen=True)
class Column:
    """One column of a series: its name, its unit (``"1"`` for a count) and what it says."""

    name: str
    unit: str
    about: str


NODE_COLUMNS: Final = (
    Column("t_ns", "ns", "simulated time of the sample"),
    Column("node", "1", "node number"),
    Column("free_pages", "pages", "free pages of the node's zones"),
    Column("used_pages", "pages", "pages of the node's zones that are not free, those reserved at boot included"),
    Column("active_pages", "pages", "pages on the active list"),
    Column("inactive_pages", "pages", "pages on the inactive list"),
    Column("cache_pages", "pages", "pages in a page cache (anonymous pages: the swap cache)"),
    *(Column(name, "ns" if name.endswith("_ns") else "1", f"counter {name}, since boot") for name in VMSTAT),
    Column("accesses_local", "1", "accesses of this node's CPUs that went to its own memory, since boot"),
    Column("accesses_remote", "1", "accesses of this node's CPUs that went to other nodes' memory, since boot"),
    Column("latency_ns", "ns", "time those accesses took without queueing, sum since boot"),
    Column("queue_ns", "ns", "time those accesses waited at controllers and links, sum since boot"),
    Column("accesses_served", "1", "accesses of all CPUs that went to this node's memory, since boot"),
    Column("lines_served", "lines", "cache lines moved from or to this node's memory, since boot"),
)
"""One row per (sample, node)."""

SWAP_COLUMNS: Final = (
    Column("t_ns", "ns", "simulated time of the sample"),
    Column("area", "1", "number of the swap area, in the order of swapon"),
    Column("used_pages", "pages", "slots in use"),
    Column("pages_read", "pages", "pages read from the device, since boot"),
    Column("pages_written", "pages", "pages written to the device, since boot"),
)
"""One row per (sample, swap area)."""

CPU_COLUMNS: Final = (
    Column("t_ns", "ns", "simulated time of the sample"),
    Column("cpu", "1", "CPU number"),
    Column("node", "1", "the CPU's node"),
    Column("busy_ns", "ns", "time the CPU was not idle, since boot"),
    Column("accesses", "1", "accesses executed, since boot"),
    Column("tlb_misses", "1", "TLB misses, since boot"),
    Column("context_switches", "1", "context switches, since boot"),
)
"""One row per (sample, CPU)."""

DISK_COLUMNS: Final = (
    Column("t_ns", "ns", "simulated time of the sample"),
    Column("disk", "1", "disk number, in the order of the summary"),
    Column("reads", "1", "read requests done, since boot"),
    Column("read_merges", "1", "page reads that joined the request of a neighbour, since boot"),
    Column("sectors_read", "sectors", "sectors of 512 bytes read, since boot"),
    Column("writes", "1", "write requests done, since boot"),
    Column("write_merges", "1", "page writes that joined the request of a neighbour, since boot"),
    Column("sectors_written", "sectors", "sectors of 512 bytes written, since boot"),
    Column("seeks", "1", "requests for which the head moved, since boot"),
    Column("in_flight", "1", "requests queued or under way"),
    Column("busy_ns", "ns", "time with a request under way, since boot"),
    Column("await_ns", "ns", "time from submission to completion, summed over requests done, since boot"),
)
"""One row per (sample, disk); names as in /proc/diskstats."""

BUDDY_COLUMNS: Final = (
    Column("t_ns", "ns", "simulated time of the sample"),
    Column("node", "1", "node number"),
    Column("zone", "1", "zone of the node: 0 DMA, 1 Normal, 2 HighMem"),
    Column("order", "1", "order of the blocks, which have 2**order pages"),
    Column("free_blocks", "1", "free blocks of that order"),
)
"""One row per (sample, zone, order) with ``run.observe = ["buddy"]``; numbers as in /proc/buddyinfo."""

_COUNTERS_AT = next(i for i, column in enumerate(NODE_COLUMNS) if column.name == VMSTAT[0])
_TRAFFIC_AT = _COUNTERS_AT + len(VMSTAT)


class Series:
    """A table of int64 that grows by a few rows per sample.

    Parameters
    ----------
    columns : tuple of Column
        Its columns; the first is ``t_ns``.
    capacity : int
        Rows to make room for at first; doubled whenever they are used up.
    """

    __slots__ = ("_before", "_buffer", "_length", "columns")

    def __init__(self, columns: tuple[Column, ...], capacity: int) -> None:
        self.columns = columns
        self._buffer: Any = np.empty((max(capacity, 1), len(columns)), np.int64)
        self._length = 0
        self._before = 0  # rows before the last sample's

    def __len__(self) -> int:
        return self._length

    @property
    def rows(self) -> Any:
        """All rows so far, int64 [rows, columns]; a view that must not be written."""
        view = self._buffer[: self._length]
        view.flags.writeable = False
        return view

    def column(self, name: str) -> Any:
        """Values of one column, int64 [rows]; KeyError if there is no such column."""
        for i, column in enumerate(self.columns):
            if column.name == name:
                return self.rows[:, i]
        raise KeyError(name)

    def block(self, n_rows: int, again: bool) -> Any:
        """Room for one sample's `n_rows` rows, to be filled by the caller.

        With `again` it takes the place of the last sample's rows.
        """
        if again:
            self._length = self._before
        self._before = self._length
        end = self._length + n_rows
        if end > len(self._buffer):
            larger = np.empty((max(2 * len(self._buffer), end), len(self.columns)), np.int64)
            larger[: self._length] = self._buffer[: self._length]
            self._buffer = larger
        self._length = end
        return self._buffer[end - n_rows : end]


class TimeSeries:
    """Collects the time series of one machine.

    Parameters
    ----------
    k : Kernel
        The machine's state; only read.
    capacity : int, optional
        Samples to make room for at first.
    disks : int
        How many disks the machine has.
    buddy : bool
        Whether the free lists are recorded, too.

    Attributes
    ----------
    nodes, swap, cpus, disks : Series
        One row per (sample, node), (sample, swap area), (sample, CPU) and (sample, disk); see `NODE_COLUMNS` and its
        neighbours.
    buddy : Series or None
        One row per (sample, zone, order), if asked for: `BUDDY_COLUMNS`.
    t_ns : int
        Time of the last sample, -1 before the first.

    Notes
    -----
    Node totals of ``nr_active_pages``, ``nr_inactive_pages`` and ``nr_cache_pages`` are those of the node's highest
    class, because 2.4.37 counts a page in its zone and in every higher one (`delta_nr_active_pages` @2.4.37).
    A sample takes about 20 us of host time.
    """

    def __init__(self, k: Kernel, capacity: int = 64, disks: int = 0, *, buddy: bool = False) -> None:
        n_nodes, n_cpus = int(k.vm[0].nr_nodes), int(k.vm[0].nr_cpus)
        self.nodes = Series(NODE_COLUMNS, capacity * n_nodes)
        self.swap = Series(SWAP_COLUMNS, capacity)
        self.cpus = Series(CPU_COLUMNS, capacity * n_cpus)
        self.disks = Series(DISK_COLUMNS, capacity * disks)
        self.buddy: Series | None = None
        if buddy:
            self.buddy = Series(BUDDY_COLUMNS, capacity * n_nodes * MAX_ORDER)
        self._k = k
        self.t_ns = -1
        self._n_disks = disks
        self._n_nodes, self._n_cpus = n_nodes, n_cpus
        self._node_ids = np.arange(n_nodes)
        self._cpu_ids = np.arange(n_cpus)
        # Views of single fields, made once: taking a field of a record array costs more than reading it.
        self._nr_swapfiles = _field(k.vm, "nr_swapfiles")
        self._free, self._present, self._active, self._inactive, self._cache = (
            _field(k.zones, name).reshape(n_nodes, NR_ZONES)
            for name in ("free_pages", "realsize", "nr_active_pages", "nr_inactive_pages", "nr_cache_pages")
        )
        self._vmstat = k.vmstat
        self._traffic = tuple(_field(k.traffic, name) for name in ("accesses", "latency_ns", "queue_ns", "lines"))
        self._swap = tuple(_field(k.swap_info, name) for name in ("inuse_pages", "pages_read", "pages_written"))
        self._disk = tuple(_field(k.disks, c.name) for c in DISK_COLUMNS[2:])
        self._cpu = tuple(_field(k.cpus, c.name) for c in CPU_COLUMNS[2:])

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.nodes) // self._n_nodes if self._n_nodes else 0

    def sample(self, t_ns: int) -> None:
        """Read all counters at simulated time `t_ns`, ns.

        A second sample of the same instant replaces the first, so that there is one row per (time, node).

        Raises
        ------
        InvariantViolation
            If time went back.
        """
        if t_ns < self.t_ns:
            raise InvariantViolation("samples in time order", t_ns, f"the last sample was at {self.t_ns} ns")
        again = t_ns == self.t_ns
        self.t_ns = t_ns
        self._sample_nodes(t_ns, again)
        area = self.swap.block(int(self._nr_swapfiles[0]), again)
        if n_areas := len(area):
            area[:, 0] = t_ns
            area[:, 1] = np.arange(n_areas)
            for i, field in enumerate(self._swap, 2):
                area[:, i] = field[:n_areas]
        disk = self.disks.block(self._n_disks, again)
        disk[:, 0] = t_ns
        disk[:, 1] = np.arange(self._n_disks)
        for i, field in enumerate(self._disk, 2):
            disk[:, i] = field[: self._n_disks]
        cpu = self.cpus.block(self._n_cpus, again)
        cpu[:, 0] = t_ns
        cpu[:, 1] = self._cpu_ids
        for i, field in enumerate(self._cpu, 2):
            cpu[:, i] = field
        if self.buddy is not None:
            _sample_buddy(self.buddy, self._k, t_ns, again)

    def _sample_nodes(self, t_ns: int, again: bool) -> None:
        block = self.nodes.block(self._n_nodes, again)
        block[:, 0] = t_ns
        block[:, 1] = self._node_ids
        free = self._free.sum(1)
        block[:, 2] = free
        block[:, 3] = self._present.sum(1) - free
        block[:, 4] = self._active.max(1)
        block[:, 5] = self._inactive.max(1)
        block[:, 6] = self._cache.max(1)
        block[:, _COUNTERS_AT:_TRAFFIC_AT] = self._vmstat
        accesses, latency, queue, lines = self._traffic
        local = accesses.diagonal()
        block[:, _TRAFFIC_AT] = local
        block[:, _TRAFFIC_AT + 1] = accesses.sum(1) - local
        block[:, _TRAFFIC_AT + 2] = latency.sum(1)
        block[:, _TRAFFIC_AT + 3] = queue.sum(1)
        block[:, _TRAFFIC_AT + 4] = accesses.sum(0)
        block[:, _TRAFFIC_AT + 5] = lines.sum(0)

    def interval_means(self) -> tuple[Any, Any, Any]:
        """Means per memory access of each node's CPUs over the interval that ends at each sample.

        Returns
        -------
        latency_ns : float64 [rows of `nodes`]
            Mean latency, queueing included, ns rounded to 1 ps; 0 where nothing was accessed.
        queue_ns : float64 [rows of `nodes`]
            Mean queueing delay, likewise.
        known : bool [rows of `nodes`]
            Whether the node's CPUs accessed memory in that interval.
        """
        names = ("accesses_local", "accesses_remote", "latency_ns", "queue_ns")
        zero = np.zeros((1, self._n_nodes), np.int64)
        local, remote, latency, queue = (
            np.diff(self.nodes.column(name).reshape(-1, self._n_nodes), axis=0, prepend=zero).ravel() for name in names
        )
        known = local + remote > 0
        counts = np.where(known, local + remote, 1)
        return np.round((latency + queue) / counts, 3), np.round(queue / counts, 3), known


def _sample_buddy(series: Series, k: Kernel, t_ns: int, again: bool) -> None:
    """Enter the free lists; of 2.2, which has one set for all zones, where their blocks lie (found by walking them)."""
    zones = np.flatnonzero(k.zones["size"] > 0)
    free = np.asarray(blocks_by_zone(k) if k.vm[0].profile == KERNEL_2_2 else k.zones["nr_free"])[zones]
    block = series.block(free.size, again)
    block[:, 0] = t_ns
    block[:, 1] = np.repeat(zones // NR_ZONES, MAX_ORDER)
    block[:, 2] = np.repeat(zones % NR_ZONES, MAX_ORDER)
    block[:, 3] = np.tile(np.arange(MAX_ORDER), len(zones))
    block[:, 4] = free.ravel()


def _field(records: Any, name: str) -> Any:
    """View of one field as a plain array."""
    return records.view(np.ndarray)[name]
