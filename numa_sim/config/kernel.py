"""Table ``[kernel]``: the profile, its sysctls and the switches that turn single mechanisms off."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from numa_sim.config.quantities import Section, refuse, size, time

RATIO_MAX = 1_000_000
_LATE_SYSCTLS = (
    "vm_passes", "vm_cache_scan_ratio", "vm_mapped_ratio", "vm_lru_balance_ratio", "vm_vfs_scan_ratio", "vm_anon_lru",
)  # fmt: skip
_KNOBS_OF_2_4_37 = (
    *(("sysctl", name) for name in _LATE_SYSCTLS), ("", "lower_zone_reserve_ratio"), ("", "oom_killer"),
)  # fmt: skip
_SWITCHES_OF_2_4_0 = (("switches", "page_aging"), ("switches", "kreclaimd"), ("switches", "launder"))
_SWITCHES_OF_2_2 = (("switches", "hysteresis"), ("switches", "second_chance"))
FOREIGN_KNOBS = {
    "linux-2.2": (
        *_KNOBS_OF_2_4_37,
        *_SWITCHES_OF_2_4_0,
        ("switches", "local_pages"),
        ("switches", "drop_behind"),
        ("bdflush", "nfract_sync"),
        ("bdflush", "nfract_stop"),
        ("", "memfrac"),
        ("", "numa_fallback"),
    ),
    "linux-2.4.0": (*_KNOBS_OF_2_4_37, ("switches", "local_pages"), ("bdflush", "nfract_stop"), *_SWITCHES_OF_2_2),
    "linux-2.4.22": (*_KNOBS_OF_2_4_37, *_SWITCHES_OF_2_4_0, *_SWITCHES_OF_2_2),
    "linux-2.4.37": (*_SWITCHES_OF_2_4_0, *_SWITCHES_OF_2_2),
}
"""What each kernel does not have, as (table below ``[kernel]``, key)."""


class Sysctl(Section):
    """Table ``[kernel.sysctl]``: tunables of mm/vmscan.c and mm/swap.c @2.4.37 under /proc/sys/vm.

    The kernel takes any integer; here zero is refused where the kernel would divide by it.
    """

    vm_passes: int = Field(60, ge=1, le=RATIO_MAX, alias="vm.vm_passes", description="passes of try_to_free_pages_zone")
    vm_cache_scan_ratio: int = Field(
        6,
        ge=1,
        le=RATIO_MAX,
        alias="vm.vm_cache_scan_ratio",
        description="one pass scans 1/n of the inactive list",
    )
    vm_mapped_ratio: int = Field(
        100, ge=0, le=RATIO_MAX, alias="vm.vm_mapped_ratio", description="mapped pages met before swap_out is called"
    )
    vm_lru_balance_ratio: int = Field(
        2, ge=0, le=RATIO_MAX, alias="vm.vm_lru_balance_ratio", description="balance of active and inactive list"
    )
    vm_vfs_scan_ratio: int = Field(
        6, ge=1, le=RATIO_MAX, alias="vm.vm_vfs_scan_ratio", description="share of the dentry and inode caches shrunk"
    )
    vm_anon_lru: int = Field(
        0, ge=0, le=1, alias="vm.vm_anon_lru", description="1: anonymous pages go on the LRU list when mapped"
    )
    min_readahead: int | None = Field(
        None, ge=0, le=1 << 20, alias="vm.min-readahead", description="least pages of file read-ahead; else 3"
    )
    max_readahead: int | None = Field(
        None, ge=0, le=1 << 20, alias="vm.max-readahead", description="most pages of file read-ahead; else 31"
    )
    page_cluster: int | None = Field(
        None,
        ge=0,
        le=10,
        alias="vm.page-cluster",
        description="log2 of pages read ahead; else by memory size",
    )
    overcommit_memory: int = Field(
        1,
        ge=0,
        le=1,
        alias="vm.overcommit_memory",
        description="0: more private writable memory than could be free is refused, as a kernel boots; 1: never",
    )
    max_map_count: int | None = Field(
        None, ge=1, le=65536, alias="vm.max_map_count", description="most areas of an address space; else 65536"
    )


Percent = Annotated[int, Field(ge=0, le=100)]


class Bdflush(Section):
    """Table ``[kernel.bdflush]``: bdf_prm of fs/buffer.c; what is not given is the profile's own."""

    nfract: Percent | None = Field(None, description="percent of dirty buffers that wakes bdflush; 30, 2.2: 40")
    ndirty: int | None = Field(
        None, ge=1, le=50_000, description="buffers bdflush writes in a round; 2.4.0: 64, later 500"
    )
    interval: Annotated[int, time(low=1_000_000)] | None = Field(None, description="between rounds of kupdate; 5 s")
    age_buffer: Annotated[int, time(low=1_000_000)] | None = Field(
        None, description="age at which kupdate writes a dirty buffer; 30 s"
    )
    nfract_sync: Percent | None = Field(None, description="percent from which the writer writes itself; 60")
    nfract_stop: Percent | None = Field(None, description="percent at which bdflush stops; 20, older kernels have none")

    def given(self) -> dict[str, int]:
        """What is given, under its name in the state's VM record (``bdf_interval_ns``)."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        units = {"interval": "interval_ns", "age_buffer": "age_buffer_ns"}
        return {f"bdf_{units.get(name, name)}": value for name, value in values.items() if value is not None}


class Switches(Section):
    """Table ``[kernel.switches]``: single mechanisms, each of which can be turned off for comparison."""

    kswapd: bool = Field(True, description="false: nobody reclaims in the background")
    pageout: bool = Field(True, description="false: swap_out finds nothing")
    clusters: bool = Field(True, description="false: swap slots first fit, no clusters of 256")
    readahead: bool = Field(True, description="false: swap-in reads only the wanted page")
    file_readahead: bool = Field(True, description="false: file reads and faults read only the wanted page")
    drop_behind: bool = Field(True, description="false: 2.4.0 keeps pages that read-ahead has passed active")
    bdflush: bool = Field(True, description="false: nobody writes dirty buffers because there are many")
    kupdate: bool = Field(True, description="false: nobody writes dirty buffers because they are old")
    plugging: bool = Field(True, description="false: a disk's queue never waits for neighbours of a request")
    zero_page: bool = Field(True, description="false: a read fault allocates a page")
    local_pages: bool = Field(True, description="false: balance_classzone keeps no page for its caller")
    locks: bool = Field(False, description="true: CPUs wait for each other's spinlocks (zone, LRU, page tables, swap)")
    page_aging: bool = Field(True, description="false: a page of 2.4.0 is old as soon as one scan sees no use")
    kreclaimd: bool = Field(True, description="false: nobody frees clean pages of 2.4.0 for atomic requests")
    launder: bool = Field(True, description="false: page_launder of 2.4.0 writes a dirty page at first sight")
    copy_on_write: bool = Field(True, description="false: fork copies every private page at once")
    hysteresis: bool = Field(True, description="false: who reclaims under 2.2 stops above min, not at high")
    second_chance: bool = Field(True, description="false: the clock of 2.2 frees cached pages, lately used or not")
    table_cache: bool = Field(False, description="true: each CPU keeps spare page tables (pgd, pmd, pte quicklists)")
    vma_merge: bool = Field(True, description="false: memory areas never merge")
    shmem_swap: bool = Field(True, description="false: shared memory without a file stays in memory")
    tlb: bool = Field(True, description="false: no translation is cached, every access walks")
    lazy_tlb: bool = Field(True, description="false: an idle CPU is interrupted at every shoot-down of its last mm")
    same_mm_bonus: bool = Field(True, description="false: a CPU does not prefer tasks of the address space it has")


class Balance(Section):
    """Table ``[kernel.balance]``: what a CPU does that has run out of tasks, besides waiting for one to wake."""

    within_node: bool = Field(False, description="true: it takes a waiting task from another CPU of its node")
    across_nodes: bool = Field(False, description="true: it takes one from another node, if its own has none")


Ratio = Annotated[int, Field(ge=1, le=RATIO_MAX)]


class Kernel(Section):
    """Table ``[kernel]``."""

    profile: Literal["linux-2.2", "linux-2.4.0", "linux-2.4.22", "linux-2.4.37"] = Field(
        "linux-2.4.37", description="which kernel's rules and constants"
    )
    numa_fallback: Literal["strict24", "nearest"] = Field(
        "strict24",
        description="strict24: node by node in pgdat_list order, as 2.4 did; nearest: one list by distance",
    )
    slab: bool = Field(
        False, description="true: areas, address spaces, open files and buffers take slab objects, as in a real kernel"
    )
    vmalloc_placement: Literal["first", "best", "worst"] = Field(
        "first", description="which gap a vmalloc area takes: the kernel takes the first; the smallest; the largest"
    )
    reclaim: str = Field(
        "kernel",
        min_length=1,
        description='who chooses the pages to go: "kernel" (the profile) or a policy of numa_sim.policies by name',
    )
    reclaim_ahead: Annotated[int, size(low=0, high=1 << 50)] = Field(
        0, description="what a policy keeps ready ahead of need on each node, free or staged, beyond the high mark"
    )
    sysctl: Sysctl = Sysctl()
    switches: Switches = Switches()
    bdflush: Bdflush = Bdflush()
    balance: Balance = Balance()
    oom_killer: bool = Field(True, description="CONFIG_OOM_KILLER")
    rmap: bool = Field(False, description="true: keep a reverse map, as kernels from 2.6 do; it only watches")
    vma_index: Literal["profile", "list", "avl", "rbtree", "vmacache"] = Field(
        "profile", description="how find_vma searches; else the profile's (2.2, 2.4.0: avl, later rbtree)"
    )
    vma_rules: Literal["profile", "linux-6.1"] = Field(
        "profile", description="how areas merge and where mmap puts them: the profile's way, or today's"
    )
    lower_zone_reserve_ratio: Annotated[tuple[Ratio, Ratio], Field(strict=False)] | None = Field(
        None, description="boot option lower_zone_reserve of 2.4.37: DMA, NORMAL; else 256, 32"
    )
    memfrac: Annotated[tuple[Ratio, Ratio, Ratio], Field(strict=False)] | None = Field(
        None, description="boot option memfrac: DMA, NORMAL, HIGHMEM; else the kernel's own (2.4.37: 128, 128, 128)"
    )
    time_slice: Annotated[int, time(low=1000, high=10_000_000_000)] = Field(
        60_000_000, description="time slice at nice 0: 6 ticks at HZ 100; at others by NICE_TO_TICKS of kernel/sched.c"
    )
    max_tasks: int | None = Field(
        None,
        ge=1,
        le=1 << 16,
        description="tasks there is room for over the whole run, ended ones included; forks beyond fail (EAGAIN); else "
        "256 more than given",
    )

    @model_validator(mode="after")
    def _knobs_of_this_kernel(self) -> Self:
        for table, name in FOREIGN_KNOBS[self.profile]:
            section = getattr(self, table) if table else self
            if name in section.model_fields_set and getattr(section, name) is not None:
                alias = type(section).model_fields[name].alias or name
                path = f"{table}.{alias}" if table else name
                raise refuse(f"{self.profile} has no such knob", ("remove it",), path)
        if self.profile in ("linux-2.2", "linux-2.4.0") and self.reclaim != "kernel":
            raise refuse("policies stand in for the reclaim of late 2.4 only", ("kernel",), "reclaim")
        return self

    @model_serializer(mode="wrap")
    def _without_foreign_knobs(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What is written can be read again: no knob that this kernel does not have."""
        document: dict[str, Any] = serialise(self)
        for table, name in FOREIGN_KNOBS[self.profile]:
            section = document.get(table, {}) if table else document
            alias = type(getattr(self, table)).model_fields[name].alias if table else None
            section.pop(name, None)
            section.pop(alias or name, None)
        return document
