"""The whole machine's state: one bundle of arrays that every rule takes first."""

from __future__ import annotations

import mmap
import sys
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from numa_sim.compiled import COMPILED
from numa_sim.state import hardware_layout, kmem_layout, layout, rmap_layout, storage_layout, task_layout
from numa_sim.state.constants import (
    ACCESS_BUFFER,
    CHANNEL_NONE,
    FIXED_LOCKS,
    KERNEL_2_4_37,
    LAST_PKMAP,
    MAPPING_SWAP,
    MAX_CYCLE,
    MAX_MAP_COUNT,
    MAX_ORDER,
    MAX_SWAPFILES,
    NIL,
    NR_ZONES,
    RLIM_INFINITY,
    SECTION_SHIFT,
    STACK_LIMIT_BYTES,
    SWAPFILE_CLUSTER,
    VMA_RBTREE,
    WRITEPAGE_SWAP,
)
from numa_sim.state.counters import TIME_PARTS, VMSTAT

_LAZY_BYTES = 1 << 22
MAX_SLABS = 1 << 18
"""Slabs a machine has room for; beyond that no cache grows."""
_MAP_NORESERVE = 0x4000  # Linux; Python has had a name for it since 3.12
_LINKS_PER_AREA = 16
"""An area has one link per generation of forks before it; most have one or two."""
_SHADOWED = frozenset(("flags", "size", "max", "device"))


class Record(np.record):  # type: ignore[misc]  # numpy's stubs say final
    """One record whose fields win over numpy's attributes of the same name (``page.flags``, ``zone.size``)."""

    def __getattribute__(self, name: str) -> Any:
        if name in _SHADOWED and name in np.void.__getattribute__(self, "dtype").fields:
            return self[name]
        return super().__getattribute__(name)


class Records(np.recarray[Any, Any]):
    """An array of `Record`.  Whole columns of shadowed names need brackets: ``pages["flags"]``."""

    def __array_finalize__(self, obj: Any) -> None:
        """Keep the record type, which np.recarray would set back to np.record."""

    def __setattr__(self, attr: str, val: Any) -> None:
        if attr == "dtype":
            np.ndarray.__setattr__(self, attr, val)
        else:
            super().__setattr__(attr, val)


@dataclass(eq=False)
class Kernel:
    """State arrays of one machine (shapes in brackets; records: `layout`, `storage_layout`, `hardware_layout`).

    Compiled rules get only `address`: where `directory` says each array lies (see `numa_sim.state.handle`).
    """

    vm: Any  # VM [1]: everything global
    pages: Any  # PAGE [frames]: mem_map
    tags: Any  # i8 [frames]: what each frame contains, as a 48-bit tag
    section_zone: Any  # i2 [frames >> section_shift]: zone of each section, NIL = hole
    zones: Any  # ZONE [nodes * 3]
    nodes: Any  # NODE [nodes]
    buddy_map: Any  # i1: one byte per pair of buddies, all orders of all zones
    zonelists: Any  # i2 [nodes * policies, 16, zones + 1]: zone ids in fallback order, closed by NIL; index gfp & 15
    node_order: Any  # i2 [nodes * policies, nodes + 1]: nodes whose zonelists alloc_pages tries, closed by NIL
    distance: Any  # i8 [nodes, nodes]: SLIT
    policies: Any  # POLICY [policies]: memory policies; 0 = default
    policy_nodes: Any  # i1 [policies, nodes]: 1 = the node is in the set of the policy
    policy_cycle: Any  # i2 [policies, MAX_CYCLE]: nodes in the order pages are dealt out
    tasks: Any  # TASK [tasks]; task 0 = swapper, task 1 = kswapd
    mms: Any  # MM [mms]; mm 0 = init_mm
    vmas: Any  # VMA [vmas]
    tables: Any  # i8 [rows, entries]: page tables
    table_info: Any  # TABLE [rows]
    mappings: Any  # ADDRESS_SPACE [mappings]
    swap_info: Any  # SWAP_INFO [32]
    swap_map: Any  # i4 [slots]: use counts
    swap_cache: Any  # i4 [slots]: pfn + 1 of the page in the swap cache, 0 = none
    swap_tags: Any  # i8 [slots]: contents on the device
    io: Any  # IO_REQUEST [ring]
    events: Any  # EVENT [recorded]
    cpus: Any  # CPU [cpus]
    tlb: Any  # TLB_ENTRY [cpus, sets, ways]
    tlb_victim: Any  # i1 [cpus, sets]: next way to replace
    next_ns: Any  # i8 [cpus]: of the access loop: each running CPU's clock
    walks: Any  # WALK_ENTRY [cpus, WALK_ENTRIES]: page-walk caches, direct-mapped
    tlb_micro_tags: Any  # i8 [cpus, sets]: some bits of each way's page number (`numa_sim.hardware.tlb`)
    accesses: Any  # ACCESS [tasks, ACCESS_BUFFER]
    latency: Any  # i8 [nodes, nodes]: unloaded ns from a CPU of node i to memory of node j
    paths: Any  # i2 [nodes, nodes, hops + 1]: channels an access passes, closed by NIL; the controller last
    channels: Any  # CHANNEL [nodes + links]
    curves: Any  # i8 [curves, 65]: extra ns at 0/64 .. 64/64 of capacity
    traffic: Any  # TRAFFIC [nodes, nodes]
    vmstat: Any  # i8 [nodes, counters]
    time_parts: Any  # i8 [tasks, parts]
    costs: Any  # COSTS [1]
    page_hash: Any  # i4 [power of two]: pfn + 1 of the first page of each chain, 0 = empty
    buffers: Any  # BUFFER_HEAD [frames]
    files: Any  # FILE [open files]
    extents: Any  # EXTENT [extents]
    disks: Any  # DISK [disks]
    disk_tags: Any  # i8 [blocks of all disks]: contents of files' blocks
    last_use: Any  # i8 [frames if vm.track_use, else 1]: number of each frame's last mapping or use
    found: Any  # i8 [frames if vm.track_use, else 1, 4]: what kernel.page_search.find_pages found
    locks: Any  # LOCK [fixed ones, zones, mms, mms, mappings]: see `numa_sim.kernel.locks`
    rmap: Any  # RMAP [frames if vm.rmap, else 1]: which file or anon_vma each frame's page is mapped for
    anon_vmas: Any  # ANON_VMA [vmas if vm.rmap, else 1]
    fault_latency: Any  # i8 [tasks, kinds, buckets] if vm.fault_latency, else of one task: `kernel.fault_latency`
    fault_time: Any  # i8 [tasks, kinds, 2]: sum and longest, ns
    anon_vma_chains: Any  # ANON_VMA_CHAIN [16 * vmas if vm.rmap, else 1]
    kmem_caches: Any  # KMEM_CACHE [64]: slab caches
    slabs: Any  # SLAB [slabs]
    slab_bufctl: Any  # i2 [slabs, MAX_OBJECTS]: of each object the next free one, or BUFCTL_*
    cpucache: Any  # i4 [cpus, caches, CPUCACHE_ENTRIES]: objects each CPU keeps: their number, then they
    vm_structs: Any  # VM_STRUCT [areas]
    pkmap: Any  # i4 [1024, 2]: kmap's slots: count, frame
    dentries: Any  # DENTRY [mappings + names]
    swap_lockmap: Any  # i4 [slots]: 2.2: pfn + 1 of the page under I/O with the slot, 0 = none
    shmem_slots: Any  # SHMEM_SLOT [slots]: pages of shared memory in swap
    shmem_hash: Any  # i4 [power of two]: slot + 1 of the first of each chain of `shmem_slots`, 0 = empty
    directory: Any = field(init=False, repr=False)  # i8 [arrays, 4]: data pointer and up to three dimensions
    address: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        arrays = [getattr(self, name) for name in ARRAYS]
        self.directory = np.zeros((len(arrays), 4), np.int64)
        for row, array in zip(self.directory, arrays, strict=True):
            assert array.flags.c_contiguous, "rules expect whole arrays"
            row[0] = array.ctypes.data
            row[1 : 1 + array.ndim] = array.shape
        self.address = int(self.directory.ctypes.data)


ARRAYS = tuple(f.name for f in fields(Kernel) if f.init)
"""Names of the state arrays, in the order of `Kernel.directory`."""


@dataclass(frozen=True)
class Sizes:
    """How much room to make; every bound of the simulation is one of these."""

    nodes: int
    cpus: int
    frames: int
    tasks: int = 16
    mms: int = 16
    vmas: int = 1024
    tables: int | None = None  # rows; None: as many as the frames could ever need
    table_entries: int = 512
    mappings: int = 16
    swap_slots: int = 1
    io_ring: int = 1 << 14
    events: int = 1
    links: int = 0
    curves: int = 1
    tlb_sets: int = 128
    tlb_ways: int = 8
    section_shift: int = SECTION_SHIFT
    files: int = 16
    extents: int = 16
    disks: int = MAX_SWAPFILES
    disk_blocks: int = 1
    track_use: bool = False
    rmap: bool = False
    fault_latency: bool = False
    slabs: int | None = None  # None: as many as the frames could ever need, at most MAX_SLABS
    vm_structs: int = 4096
    names: int = 1 << 14
    policies: int = 1  # memory policies, the default one included


def zeros(shape: tuple[int, ...] | int, dtype: DTypeLike) -> Any:
    """Zeroed array, taken from the system untouched, so that only what is written costs memory."""
    dtype = np.dtype(dtype)
    shape = shape if isinstance(shape, tuple) else (shape,)
    n_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if n_bytes >= _LAZY_BYTES and sys.platform == "linux":
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        memory = mmap.mmap(-1, n_bytes, flags=flags)
        memory.madvise(mmap.MADV_HUGEPAGE)  # random accesses to big tables would live in the host's page walks
        array: Any = np.ndarray(shape, dtype, buffer=memory)
    else:
        array = np.zeros(shape, dtype)
    return array.view(np.dtype((Record, dtype))).view(Records) if dtype.names else array


def new_kernel(sizes: Sizes) -> Kernel:
    """Make the arrays of a machine that has not booted: no frame belongs to a zone yet.

    Parameters
    ----------
    sizes : Sizes
        Bounds; see its fields.

    Returns
    -------
    Kernel
        Links are NIL, tasks 0 (swapper) and 1 (kswapd) exist, mm 0 is init_mm, mapping 1 is swapper_space.
    """
    n, c = sizes.nodes, sizes.cpus
    tables = sizes.tables if sizes.tables is not None else min(sizes.frames, sizes.frames // 128 + (1 << 16))
    slabs = sizes.slabs if sizes.slabs is not None else min(sizes.frames, MAX_SLABS)
    k = Kernel(
        vm=zeros(1, layout.VM),
        pages=zeros(sizes.frames, layout.PAGE),
        tags=zeros(sizes.frames, np.int64),
        section_zone=np.full((sizes.frames + (1 << sizes.section_shift) - 1) >> sizes.section_shift, NIL, np.int16),
        zones=zeros(n * NR_ZONES, layout.ZONE),
        nodes=zeros(n, layout.NODE),
        buddy_map=zeros(sizes.frames + n * NR_ZONES * 64, np.int8),
        zonelists=np.full((n * sizes.policies, 16, n * NR_ZONES + 1), NIL, np.int16),
        node_order=np.full((n * sizes.policies, n + 1), NIL, np.int16),
        distance=np.full((n, n), 20, np.int64),
        policies=zeros(sizes.policies, task_layout.POLICY),
        policy_nodes=zeros((sizes.policies, n), np.int8),
        policy_cycle=zeros((sizes.policies, MAX_CYCLE), np.int16),
        tasks=zeros(sizes.tasks + 2, task_layout.TASK),
        mms=zeros(sizes.mms + 1, task_layout.MM),
        vmas=zeros(sizes.vmas, task_layout.VMA),
        tables=zeros((tables, sizes.table_entries), np.int64),
        table_info=zeros(tables, task_layout.TABLE),
        mappings=zeros(sizes.mappings, storage_layout.ADDRESS_SPACE),
        swap_info=zeros(MAX_SWAPFILES, storage_layout.SWAP_INFO),
        swap_map=zeros(sizes.swap_slots, np.int32),
        swap_cache=zeros(sizes.swap_slots, np.int32),
        swap_tags=zeros(sizes.swap_slots, np.int64),
        io=zeros(sizes.io_ring, storage_layout.IO_REQUEST),
        events=zeros(sizes.events, storage_layout.EVENT),
        cpus=zeros(c, hardware_layout.CPU),
        tlb=zeros((c, sizes.tlb_sets, sizes.tlb_ways), hardware_layout.TLB_ENTRY),
        tlb_victim=zeros((c, sizes.tlb_sets), np.int8),
        next_ns=zeros(c, np.int64),
        walks=zeros((c, hardware_layout.WALK_ENTRIES), hardware_layout.WALK_ENTRY),
        tlb_micro_tags=zeros((c, sizes.tlb_sets), np.int64),
        accesses=zeros((sizes.tasks + 2, ACCESS_BUFFER), hardware_layout.ACCESS),
        latency=zeros((n, n), np.int64),
        paths=np.full((n, n, hardware_layout.MAX_HOPS + 2), NIL, np.int16),
        channels=zeros(n + sizes.links, hardware_layout.CHANNEL),
        curves=zeros((sizes.curves, hardware_layout.CURVE_POINTS), np.int64),
        traffic=zeros((n, n), hardware_layout.TRAFFIC),
        vmstat=zeros((n, len(VMSTAT)), np.int64),
        time_parts=zeros((sizes.tasks + 2, len(TIME_PARTS)), np.int64),
        costs=zeros(1, hardware_layout.COSTS),
        page_hash=zeros(1 << (sizes.frames - 1).bit_length(), np.int32),
        buffers=zeros(sizes.frames, storage_layout.BUFFER_HEAD),
        files=zeros(sizes.files, storage_layout.FILE),
        extents=zeros(sizes.extents, storage_layout.EXTENT),
        disks=zeros(sizes.disks, storage_layout.DISK),
        disk_tags=zeros(sizes.disk_blocks, np.int64),
        last_use=zeros(sizes.frames if sizes.track_use else 1, np.int64),
        found=zeros((sizes.frames if sizes.track_use else 1, 4), np.int64),
        locks=zeros(FIXED_LOCKS + n * NR_ZONES + 2 * (sizes.mms + 1) + sizes.mappings, hardware_layout.LOCK),
        rmap=zeros(sizes.frames if sizes.rmap else 1, rmap_layout.RMAP),
        anon_vmas=zeros(sizes.vmas if sizes.rmap else 1, rmap_layout.ANON_VMA),
        fault_latency=zeros((sizes.tasks + 2 if sizes.fault_latency else 1, 4, 256), np.int64),
        fault_time=zeros((sizes.tasks + 2 if sizes.fault_latency else 1, 4, 2), np.int64),
        anon_vma_chains=zeros(_LINKS_PER_AREA * sizes.vmas if sizes.rmap else 1, rmap_layout.ANON_VMA_CHAIN),
        kmem_caches=zeros(kmem_layout.MAX_CACHES, kmem_layout.KMEM_CACHE),
        slabs=zeros(slabs, kmem_layout.SLAB),
        slab_bufctl=zeros((slabs, kmem_layout.MAX_OBJECTS), np.int16),
        cpucache=zeros((c, kmem_layout.MAX_CACHES, kmem_layout.CPUCACHE_ENTRIES), np.int32),
        vm_structs=zeros(sizes.vm_structs, kmem_layout.VM_STRUCT),
        pkmap=zeros((LAST_PKMAP, 2), np.int32),
        dentries=zeros(sizes.mappings + sizes.names, kmem_layout.DENTRY),
        swap_lockmap=zeros(sizes.swap_slots, np.int32),
        shmem_slots=zeros(sizes.swap_slots, storage_layout.SHMEM_SLOT),
        shmem_hash=zeros(1 << (sizes.swap_slots - 1).bit_length(), np.int32),
    )
    _set_links(k, sizes)
    _set_kmem_links(k)
    return k


def _set_links(k: Kernel, sizes: Sizes) -> None:
    """Everything whose "nothing" is not zero, and the 2.4.37 defaults of the sysctls (spec 4.7)."""
    vm = k.vm[0]
    vm.nr_nodes, vm.nr_cpus, vm.nr_frames = sizes.nodes, sizes.cpus, sizes.frames
    vm.section_shift = sizes.section_shift
    for name in (
        "current_task", "pgdat_list", "zero_pfn", "active_head", "active_tail", "inactive_head", "inactive_tail",
        "swap_list_head", "swap_list_next", "table_free", "oom_victim", "bug_pfn", "oom_lastkill_ns",
        "inactive_dirty_head", "inactive_dirty_tail", "anon_vma_free", "avc_free",
    ):  # fmt: skip
        setattr(vm, name, NIL)
    vm.vm_passes, vm.vm_cache_scan_ratio, vm.vm_mapped_ratio = 60, 6, 100
    vm.vm_lru_balance_ratio, vm.vm_vfs_scan_ratio, vm.vm_anon_lru = 2, 6, 0
    vm.page_cluster, vm.swapfile_cluster, vm.swap_readahead = 3, SWAPFILE_CLUSTER, 1
    vm.zero_page = vm.pageout = vm.local_pages = vm.copy_on_write = 1
    vm.kswapd_asleep = vm.kreclaimd_asleep = 1
    vm.page_aging, vm.swap_cluster, vm.launder = 1, 8, 1
    vm.hysteresis = vm.second_chance = 1
    vm.profile = KERNEL_2_4_37
    vm.mmu, vm.levels, vm.entry_bits, vm.task_size_vpn = 3, 4, 9, 1 << 35  # x86-64, see numa_sim.kernel.geometry
    vm.event_hash = 1
    k.zones.free_head[:] = NIL
    k.zones.inactive_clean_head = NIL
    k.zones.inactive_clean_tail = NIL
    for link in ("mm", "local_pfn", "got_pfn", "wait_pfn", "cpu"):
        k.tasks[link] = NIL
    k.nodes.pgdat_next = NIL
    k.mms.pgd = NIL
    k.mms.mmap = NIL
    k.mms.owner = NIL
    k.mms.mmap_cache = NIL
    k.mms.leaf_vpn = NIL
    k.mms.mm_rb = NIL
    k.mms[0].used = 1
    vm.rmap, vm.fault_latency = sizes.rmap, sizes.fault_latency
    k.vm[0].free_vma = NIL
    vm.vma_index, vm.vma_rules, vm.vma_merge, vm.max_map_count = VMA_RBTREE, KERNEL_2_4_37, 1, MAX_MAP_COUNT
    k.tasks.vmacache = NIL
    k.cpus.task = NIL
    k.cpus.mm = NIL
    k.cpus.quicklist = NIL
    k.channels.model = CHANNEL_NONE
    k.channels.line_ps = 1
    vm.page_hash_bits = (sizes.frames - 1).bit_length()
    vm.buf_head[:] = NIL
    vm.buf_tail[:] = NIL
    vm.bdf_nfract, vm.bdf_ndirty, vm.bdf_nfract_sync, vm.bdf_nfract_stop = 30, 500, 60, 20
    vm.bdf_interval_ns, vm.bdf_age_buffer_ns = 5_000_000_000, 30_000_000_000
    vm.vm_min_readahead, vm.vm_max_readahead = 3, 31
    vm.file_readahead = vm.drop_behind = vm.shmem_swap = 1
    k.tasks.file_pfn = NIL
    for limit in ("rlim_data", "rlim_as", "rlim_memlock"):
        k.tasks[limit] = RLIM_INFINITY
    k.tasks.rlim_stack = STACK_LIMIT_BYTES
    for name in ("pages_head", "pages_tail", "extents", "i_mmap", "i_mmap_shared", "dirty_buffers_head"):
        k.mappings[name] = NIL
    k.mappings.dirty_buffers_tail = NIL
    k.extents.next = np.arange(1, len(k.extents) + 1)
    k.extents.next[-1] = NIL
    k.mappings[MAPPING_SWAP].kind = 1
    k.mappings[MAPPING_SWAP].writepage = WRITEPAGE_SWAP
    assert k.zones.free_head.shape[1] == MAX_ORDER


def _set_kmem_links(k: Kernel) -> None:
    """What is not zero of the kernel's own memory while there is none."""
    vm = k.vm[0]
    vm.nr_pkmap = LAST_PKMAP
    vm.cache_chain = vm.slab_free = vm.vmlist = vm.free_vm_struct = NIL
    vm.unused_head = vm.unused_tail = NIL
    k.kmem_caches.next = k.kmem_caches.slabp_cache = NIL
    k.kmem_caches.list_head = k.kmem_caches.list_tail = NIL


def bytes_per_frame(k: Kernel) -> float:
    """Host bytes per simulated frame in use, by the arrays that grow with memory.

    A frame that caches a file's page commits a buffer head (`k.buffers`) and a hash bucket (`k.page_hash`) more.
    """
    per_frame = (k.pages, k.tags, k.section_zone, k.buddy_map)
    return float(sum(a.nbytes for a in per_frame)) / float(k.vm[0].nr_frames)


if COMPILED:
    from numa_sim.state import handle  # noqa: F401 - teaches numba the type Kernel
