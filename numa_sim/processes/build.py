"""From a configuration to a booted machine: the arrays, filled in."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from numa_sim.compiled import entry
from numa_sim.config.model import Config, policies_of
from numa_sim.errors import ConfigError, TopologyError
from numa_sim.hardware.mmu import write_protect_works
from numa_sim.kernel.bdflush import bdflush_defaults
from numa_sim.kernel.bootmem import boot
from numa_sim.kernel.geometry import GEOMETRIES, use_geometry
from numa_sim.kernel.slab.cache import kmem_cache_init
from numa_sim.kernel.vmalloc import vmalloc_init
from numa_sim.observe.inputs import read_input
from numa_sim.observe.timeline.from_events import LOG_EVENTS
from numa_sim.policies import Policy
from numa_sim.processes.mount import file_sizes
from numa_sim.state.constants import (
    CHANNEL_CURVE,
    CHANNEL_NONE,
    CHANNEL_QUEUE,
    KERNEL_6_1,
    LINE_BYTES,
    PAGE_SIZE,
    SECTION_SHIFT,
    VMA_AVL,
    VMA_LIST,
    VMA_RBTREE,
    VMA_VMACACHE,
)
from numa_sim.state.hardware_layout import CURVE_POINTS
from numa_sim.state.kernel import Kernel, Sizes, new_kernel
from numa_sim.topology import Curve, Topology
from numa_sim.workloads.configured import program_from_config
from numa_sim.workloads.mempolicy import MemPolicy

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine

MORE_TASKS = 256
"""Tasks a machine has room for beyond those of its configuration, if that does not say."""
MORE_POLICIES = 8
"""Memory policies a machine has room for beyond those its configuration names."""
MAX_AREAS = 1 << 17
"""Memory areas of all tasks together."""
DAEMONS = 3
"""Rows of bdflush, kupdate and kreclaimd, behind all others."""
_SECTION_PAGES = 1 << SECTION_SHIFT
RECLAIM_QUANTUM_NS = 50_000
"""Reclaim charges its time at least this often, so that others see its work as it happens."""
SYSCTLS = (
    "vm_passes",
    "vm_cache_scan_ratio",
    "vm_mapped_ratio",
    "vm_lru_balance_ratio",
    "vm_vfs_scan_ratio",
    "vm_anon_lru",
)
_write_protect_works = entry(write_protect_works)
_VMA_INDEXES = {"list": VMA_LIST, "avl": VMA_AVL, "rbtree": VMA_RBTREE, "vmacache": VMA_VMACACHE}
_MODELS = {"queue": CHANNEL_QUEUE, "curve": CHANNEL_CURVE, "none": CHANNEL_NONE}


def build_kernel(config: Config, topology: Topology, policy: Policy | None = None) -> Kernel:
    """Take the arrays for `topology`, fill in hardware, costs and sysctls, and boot; swap is off (see `SwapAreas`).

    With a replacement policy, also those it needs.
    """
    geometry = GEOMETRIES[config.machine.geometry()]
    placed = _placed(topology)
    tlb = config.machine.tlb
    cached = config.kernel.switches.tlb
    tasks = _task_rows(config) + DAEMONS
    k = new_kernel(
        Sizes(
            nodes=len(topology),
            cpus=topology.cpu_count,
            frames=max(start + frames for start, frames in placed),
            tasks=tasks,
            mms=tasks,
            vmas=MAX_AREAS,
            table_entries=1 << geometry.entry_bits,
            swap_slots=max(1, sum(place.blocks for place in config.machine.placing().swap)),
            events=max(1, config.run.record_events) + (0 if config.run.timeline is None else LOG_EVENTS),
            links=len(topology.links),
            disks=max(1, len(config.machine.placing().drives)),
            curves=len(topology),
            tlb_sets=tlb.entries // tlb.ways if cached else 1,
            tlb_ways=tlb.ways if cached else 0,
            track_use=policy is not None,
            rmap=config.kernel.rmap,
            fault_latency=config.run.fault_latency,
            policies=1 + MORE_POLICIES + len(policies_of(config)),
            **file_sizes(config),
        )
    )
    vm = k.vm[0]
    use_geometry(k, geometry.name)
    vm.record_events = config.run.record_events > 0 or config.run.timeline is not None
    _boot(k, config, placed, topology)
    vmalloc_init(k)
    _fill_hardware(k, config, topology)
    _fill_kernel(k, config)
    return k


def _boot(k: Kernel, config: Config, placed: list[tuple[int, int]], topology: Topology) -> None:
    """Boot; memory that the architecture or the kernel cannot use is an error of the configuration."""
    kernel, machine = config.kernel, config.machine
    try:
        boot(
            k,
            placed,
            machine.arch,
            kernel.profile,
            kernel.numa_fallback,
            topology.distance,
            kernel.memfrac,
            kernel.lower_zone_reserve_ratio,
        )
    except TopologyError as problem:
        keys = {"memory_per_node": machine.memory_per_node, "nodes": machine.nodes, "preset": machine.preset}
        key = next((name for name, value in keys.items() if value is not None), "from")
        node = "" if problem.where == "memory" else f"{problem.where}: "
        raise ConfigError(config.origin, f"machine.{key}", f"{node}{problem.message}") from None


def _task_rows(config: Config) -> int:
    """Tasks there is room for over the whole run, those of the configuration included."""
    if config.kernel.max_tasks is not None:
        return config.kernel.max_tasks
    return MORE_TASKS + sum(workload.count for workload in config.workload)


def _placed(topology: Topology) -> list[tuple[int, int]]:
    """Frames of each node: consecutive, each node starting at a multiple of 512 pages."""
    placed = []
    start = 0
    for node in topology.nodes:
        frames = node.memory_bytes // PAGE_SIZE
        placed.append((start, frames))
        start += -(-frames // _SECTION_PAGES) * _SECTION_PAGES
    return placed


def _fill_hardware(k: Kernel, config: Config, topology: Topology) -> None:
    n = len(topology)
    for node in topology.nodes:
        k.nodes[node.id].nr_cpus = len(node.cpus)
        for cpu in node.cpus:
            k.cpus[cpu].node = node.id
        for memory in range(n):
            if node.cpus and topology.nodes[memory].memory_bytes:
                k.latency[node.id, memory] = topology.latency_ns[node.id][memory]
                if topology.connected(node.id, memory):
                    hops = [n + link for link in topology.path(node.id, memory)]
                    k.paths[node.id, memory, : len(hops) + 1] = [*hops, memory]
                else:
                    k.paths[node.id, memory, 0] = memory
    memory_config = config.machine.memory
    bandwidths = [*topology.bandwidth, *(link.bandwidth for link in topology.links)]
    for channel, bandwidth in enumerate(bandwidths):
        record = k.channels[channel]
        record.line_ps = -(-LINE_BYTES * 10**12 // bandwidth)  # rounded up: capacity is never exceeded
        record.window_ns = memory_config.window
        record.model = _MODELS[memory_config.model]
        record.curve = channel if channel < n else 0
        if record.model == CHANNEL_CURVE and (channel >= n or not _curve(topology, channel)):
            record.model = CHANNEL_QUEUE  # no measured curve: the formula
    for node in topology.nodes:
        curve = _curve(topology, node.id)
        if curve is not None:
            k.curves[node.id] = extra_ns(curve, topology.bandwidth[node.id])
    k.vm[0].pge, k.vm[0].no_wp = config.machine.global_pages, not config.machine.write_protect
    k.vm[0].wp_works_ok = _write_protect_works(k)
    costs = k.costs[0]
    for name, value in config.costs.entries().items():
        setattr(costs, name, value)
    costs.cache_miss_1024ths = 1024 - round(1024 * config.machine.cache_hit_ratio)


def _curve(topology: Topology, node: int) -> Curve | None:
    return topology.curves[node] if topology.curves else None


def extra_ns(curve: Curve, capacity: int) -> list[int]:
    """What load adds to the latency at 0/64 to 64/64 of `capacity` (bytes/s), between measured points linearly."""
    points = [(0, curve.points[0][1]), *curve.points]
    result = []
    for step in range(CURVE_POINTS):
        load = capacity * step // (CURVE_POINTS - 1)
        latency = points[-1][1]
        for (low, low_ns), (high, high_ns) in pairwise(points):
            if low <= load <= high and high > low:
                latency = low_ns + (high_ns - low_ns) * (load - low) // (high - low)
                break
        result.append(max(0, latency - points[0][1]))
    return result


def _fill_kernel(k: Kernel, config: Config) -> None:
    vm, kernel, switches = k.vm[0], config.kernel, config.kernel.switches
    sysctl = kernel.sysctl
    for name in SYSCTLS:
        if name in sysctl.model_fields_set:  # else what the profile's kernel boots with
            setattr(vm, name, getattr(sysctl, name))
    if sysctl.page_cluster is not None:
        vm.page_cluster = sysctl.page_cluster
    vm.pageout, vm.swap_readahead = switches.pageout, switches.readahead
    vm.zero_page, vm.local_pages = switches.zero_page, switches.local_pages
    vm.locks = switches.locks
    vm.copy_on_write = switches.copy_on_write
    vm.vma_merge, vm.overcommit_memory = switches.vma_merge, sysctl.overcommit_memory
    vm.vma_index = _VMA_INDEXES.get(kernel.vma_index, vm.vma_index)
    if kernel.vma_rules == "linux-6.1":
        vm.vma_rules = KERNEL_6_1
    if sysctl.max_map_count is not None:
        vm.max_map_count = sysctl.max_map_count
    vm.pgt_cache = switches.table_cache
    vm.page_aging, vm.launder = switches.page_aging, switches.launder
    vm.hysteresis, vm.second_chance = switches.hysteresis, switches.second_chance
    if not switches.clusters:
        vm.swapfile_cluster = 0
    vm.shmem_swap = switches.shmem_swap
    vm.file_readahead, vm.drop_behind = switches.file_readahead, switches.drop_behind
    if sysctl.min_readahead is not None:
        vm.vm_min_readahead = sysctl.min_readahead
    if sysctl.max_readahead is not None:
        vm.vm_max_readahead = sysctl.max_readahead
    bdflush_defaults(k)
    for name, value in kernel.bdflush.given().items():
        setattr(vm, name, value)
    vm.oom_killer = kernel.oom_killer
    vm.vmalloc_placement = ("first", "best", "worst").index(kernel.vmalloc_placement)
    vm.slab_objects = kernel.slab
    if kernel.slab:
        kmem_cache_init(k)
    vm.numa_nearest = kernel.numa_fallback == "nearest"
    vm.reclaim_quantum_ns = RECLAIM_QUANTUM_NS


def _mempolicy(policy: Any) -> MemPolicy | None:
    return None if policy is None else MemPolicy(policy.mode, policy.nodes, policy.weights)


def add_workloads(machine: Machine, config: Config) -> None:
    """Add the tasks of ``[[workload]]``; copies are numbered, trace files are noted as inputs."""
    for index, workload in enumerate(config.workload):
        program = program_from_config(workload, config.place, f"workload.{index}")
        if workload.trace is not None:
            machine.inputs.append(read_input(config, workload.trace.file))
            if workload.trace.strace is not None:
                machine.inputs.append(read_input(config, workload.trace.strace))
        for name in workload.task_names():
            machine.add(
                program,
                name=name,
                cpus=workload.cpus,
                start_ns=workload.start,
                nice=workload.nice,
                root=workload.root,
                limits=workload.limits.given(),
                mempolicy=_mempolicy(workload.policy),
                kind="trace" if workload.trace is not None else "program",
            )
