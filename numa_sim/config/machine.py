"""Table ``[machine]``: nodes, memory, TLBs, memory channels, disks, swap areas and files."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from numa_sim.config.disk import Disk
from numa_sim.config.file import File
from numa_sim.config.placing import Placing, place, swap_names
from numa_sim.config.quantities import (
    MAX_CPUS,
    PAGE_BYTES,
    Bandwidth,
    CpuList,
    PositiveTime,
    Section,
    refuse,
    size,
)
from numa_sim.config.swap import Swap

MAX_NODES = 64
MMUS = {"x86-64": ("x86-64", "x86-64-la57", "alpha"), "i386": ("i386", "i386-pae")}
"""Geometries of page tables (`numa_sim.kernel.geometry`) by architecture, its own first."""

NodeMemory = Annotated[int, size(0, 1 << 46)]


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
    mmu: Literal["i386", "i386-pae", "alpha", "x86-64", "x86-64-la57"] | None = Field(
        None, description="page tables: levels and how an address is split; else the architecture's own"
    )
    segments: bool = Field(False, description="true: accesses of an i386 go through segments, also of a program's own")
    global_pages: bool = Field(True, description="false: the kernel's TLB entries go at every change of address space")
    write_protect: bool = Field(
        True, description="false: a 386, where the kernel's writes to read-only pages do not fault"
    )
    cache_hit_ratio: float = Field(0.0, ge=0.0, le=1.0, description="share of accessed lines that hit the CPU's caches")
    tlb: Tlb = Tlb()
    memory: Memory = Memory()
    disk: Annotated[tuple[Disk, ...], Field(strict=False)] = Field(
        (), max_length=32, description="disks that swap partitions and files share"
    )
    swap: Annotated[tuple[Swap, ...], Field(strict=False)] = Field((), max_length=32, description="swap areas")
    file: Annotated[tuple[File, ...], Field(strict=False)] = Field(
        (), max_length=4096, description="files on the disks"
    )

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
        if self.mmu is not None and self.mmu not in MMUS[self.arch]:
            raise refuse(f"an {self.arch} machine has no MMU {self.mmu!r}", MMUS[self.arch], "mmu")
        if self.segments and self.arch != "i386":
            raise refuse(f"{self.arch} has no segments", ("false",), "segments")
        self.placing()  # refuses what does not fit
        return self

    def geometry(self) -> str:
        """Name of the page tables' geometry: `mmu`, else the architecture's own."""
        return self.mmu or MMUS[self.arch][0]

    def swap_names(self) -> tuple[str, ...]:
        """Names of the swap areas: as given, else device and position (``nvme0``)."""
        return swap_names(self.swap)

    def placing(self) -> Placing:
        """The disks, those that swap areas bring along included, and what lies where on them."""
        return place(self.disk, self.swap, self.file)
