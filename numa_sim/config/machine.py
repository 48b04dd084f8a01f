"""Table ``[machine]``: nodes, memory, TLBs, memory channels and swap devices."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from numa_sim.config.quantities import (
    MAX_CPUS,
    PAGE_BYTES,
    Bandwidth,
    CpuList,
    PositiveTime,
    Section,
    ShortTime,
    refuse,
    size,
)

MAX_NODES = 64
SWAP_FLAG_PRIO_MASK = 0x7FFF
"""Highest priority swapon(2) takes, include/linux/swap.h @2.4.37."""

NodeMemory = Annotated[int, size(0, 1 << 46)]
SwapSize = Annotated[int, size(10 * PAGE_BYTES, 1 << 44)]


class Node(Section):
    """One NUMA node of an inline machine."""

    memory: NodeMemory = Field(description="memory of the node, whole pages; 0B for a node of CPUs only")
    cpus: CpuList = Field((), description='CPUs of the node, like "0-3"; "" for a node of memory only')

    @model_validator(mode="after")
    def _whole_pages(self) -> Self:
        if self.memory % PAGE_BYTES:
            raise refuse(f"{self.memory} bytes are not whole pages", (f"multiples of {PAGE_BYTES} bytes",), "memory")
        return self


class Link(Section):
    """One link between two nodes of an inline machine."""

    a: int = Field(ge=0, lt=MAX_NODES, description="node at one end")
    b: int = Field(ge=0, lt=MAX_NODES, description="node at the other end")
    bandwidth: Bandwidth = Field(description="bandwidth of the link, each direction together")
    name: str = Field("", max_length=64, description="name in reports")


class Tlb(Section):
    """Table ``[machine.tlb]``: one set-associative TLB per CPU, least recently filled way replaced."""

    entries: int = Field(1024, ge=1, le=65536, description="entries; entries / ways must be a power of two")
    ways: int = Field(8, ge=1, le=64, description="ways of a set")

    @model_validator(mode="after")
    def _power_of_two_sets(self) -> Self:
        sets, rest = divmod(self.entries, self.ways)
        if rest or sets == 0 or sets & (sets - 1):
            good = tuple(str(self.ways << shift) for shift in range(17) if self.ways << shift <= 65536)
            raise refuse(f"{self.entries} entries in {self.ways} ways are not a power of two of sets", good, "entries")
        return self


class Memory(Section):
    """Table ``[machine.memory]``: how memory controllers and links behave under load."""

    model: Literal["queue", "curve", "none"] = Field(
        "queue",
        description="queue: FIFO server; curve: measured loaded latency with a ceiling; none: no contention",
    )
    window: PositiveTime = Field(10_000, description="span over which the load of a curve is measured")
    bandwidth: Bandwidth | None = Field(None, description="of every memory controller, instead of the machine's")


class SwapArea(Section):
    """What every swap area has."""

    size: SwapSize = Field(description="size of the area; the first page is its header, a broken last page is not used")
    priority: int | None = Field(
        None,
        ge=0,
        le=SWAP_FLAG_PRIO_MASK,
        description="priority given to swapon; without one the areas get -1, -2, ... in their order",
    )
    name: str | None = Field(None, min_length=1, max_length=64, description="name in reports; else device and number")


class Hdd(SwapArea):
    """A disk with one head: a request that does not continue the last one pays a seek."""

    device: Literal["hdd"]
    seek: PositiveTime = Field(
        8_000_000, description="mean seek and rotation; 7200 rpm class, generic latency reference (toolnova)"
    )
    bandwidth: Bandwidth = Field(150_000_000, description="sequential transfer; assumed, 7200 rpm class")


class SataSsd(SwapArea):
    """A SATA solid-state drive."""

    device: Literal["sata-ssd"]
    latency: PositiveTime = Field(
        140_000, description="4 KiB read at depth 1: about 40 % slower than NVMe (AnandTech 13704)"
    )
    bandwidth: Bandwidth = Field(550_000_000, description="what a 6 Gb/s SATA link carries")
    channels: int = Field(9, ge=1, le=1024, description="at once: 68 k IOPS at depth 32 (axboe/fio issue 278)")


class Nvme(SwapArea):
    """An NVMe solid-state drive."""

    device: Literal["nvme"]
    latency: PositiveTime = Field(
        104_170, description="4 KiB read at depth 1, Micron 9100, mean (MicronSSD/unvme issue 18)"
    )
    bandwidth: Bandwidth = Field(6_193_000_000, description="sequential read, PM9A1 (treeru.com, 20 devices, fio)")
    channels: int = Field(32, ge=1, le=1024, description="requests served at once: 235 k IOPS with 32 jobs at depth 1")


class Zram(SwapArea):
    """A compressed RAM device: no waiting, the CPU does the work (the memory it takes is not modelled)."""

    device: Literal["zram"]
    latency: ShortTime = Field(1_708, description="CPU time per 4 KiB page: lz4 (notes.xeome.dev, Zram)")


Swap = Annotated[Hdd | SataSsd | Nvme | Zram, Field(discriminator="device")]


class Machine(Section):
    """Table ``[machine]``: exactly one of `preset`, `from` and `nodes` says what the machine is."""

    SOURCES: ClassVar[tuple[str, ...]] = ("preset", "from", "nodes")
    INLINE_ONLY: ClassVar[tuple[str, ...]] = ("distances", "latency_ns", "bandwidth", "links")

    preset: str | None = Field(None, min_length=1, description='a known machine ("numa-sim presets" lists them)')
    from_: str | None = Field(
        None,
        alias="from",
        pattern=r"^(numactl|sysfs|hwloc|toml):.+$",
        description='machine read from "numactl:FILE", "sysfs:DIR", "hwloc:FILE" or "toml:FILE"',
    )
    nodes: Annotated[tuple[Node, ...], Field(strict=False)] | None = Field(
        None, min_length=1, max_length=MAX_NODES, description="nodes of an inline machine"
    )
    distances: (
        Annotated[
            tuple[Annotated[tuple[Annotated[int, Field(ge=10, le=255)], ...], Field(strict=False)], ...],
            Field(strict=False),
        ]
        | None
    ) = Field(None, description="SLIT distances of the inline nodes, one row per node")
    latency_ns: (
        Annotated[
            tuple[Annotated[tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...], Field(strict=False)], ...],
            Field(strict=False),
        ]
        | None
    ) = Field(None, description="unloaded latency in ns, row: CPU's node, column: memory's node")
    bandwidth: Annotated[tuple[Bandwidth, ...], Field(strict=False)] | None = Field(
        None, description="memory bandwidth of each inline node"
    )
    links: Annotated[tuple[Link, ...], Field(strict=False)] | None = Field(None, description="between inline nodes")
    memory_per_node: Annotated[int, size(PAGE_BYTES, 1 << 46)] | None = Field(
        None, description="scale: memory of every node that has some"
    )
    cpus_per_node: int | None = Field(None, ge=1, le=MAX_CPUS, description="scale: CPUs kept of every node")
    arch: Literal["x86-64", "i386"] = Field("x86-64", description="architecture: page-table levels and zone limits")
    cache_hit_ratio: float = Field(0.0, ge=0.0, le=1.0, description="share of accessed lines that hit the CPU's caches")
    tlb: Tlb = Tlb()
    memory: Memory = Memory()
    swap: Annotated[tuple[Swap, ...], Field(strict=False)] = Field((), max_length=32, description="swap areas")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in self.SOURCES if getattr(self, "from_" if name == "from" else name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise refuse(f"exactly one of preset, from and nodes must be given, found {found}", self.SOURCES)
        if self.nodes is None:
            for name in self.INLINE_ONLY:
                if getattr(self, name) is not None:
                    raise refuse(f"goes with inline nodes, not with {given[0]}", ("remove it",), name)
        elif self.distances is None:
            raise refuse("missing: inline nodes need their SLIT table", ("one row of integers per node",), "distances")
        if self.memory_per_node is not None and self.memory_per_node % PAGE_BYTES:
            raise refuse("not whole pages", (f"multiples of {PAGE_BYTES} bytes",), "memory_per_node")
        names = [area.name for area in self.swap if area.name is not None]
        for index, area in enumerate(self.swap):
            if area.name is not None and names.count(area.name) > 1:
                raise refuse(f"two swap areas are named {area.name!r}", ("a name of its own",), f"swap.{index}.name")
        return self

    def swap_names(self) -> tuple[str, ...]:
        """Names of the swap areas: as given, else device and position (``nvme0``)."""
        return tuple(area.name or f"{area.device}{index}" for index, area in enumerate(self.swap))
