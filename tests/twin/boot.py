"""The twin's power-on: a kernel state for a configuration, with array sizes of its own."""

from __future__ import annotations

from typing import Any

from numa_sim.config.disk import ZramDrive
from numa_sim.config.model import Config
from numa_sim.kernel.bootmem import boot
from numa_sim.kernel.swapon import swapon
from numa_sim.state.constants import WRITEPAGE_ASYNC, WRITEPAGE_SYNC
from numa_sim.state.kernel import Kernel, Sizes, new_kernel
from numa_sim.topology import Topology

MMUS = {
    "i386": (0, 2, 10, 0xC0000),  # 3 GiB of user space
    "i386-pae": (1, 3, 9, 0xC0000),
    "alpha": (2, 3, 10, 1 << 29),
    "x86-64": (3, 4, 9, 1 << 35),
    "x86-64-la57": (4, 5, 9, 1 << 44),
}
"""Number, levels, index bits of a level and pages of user space."""
SECTION_PAGES = 512
PAGE_BYTES = 4096
ROWS_BEHIND_TASKS = 256 + 3
"""Rows of `tasks` nobody uses, and those of bdflush, kupdate and kreclaimd."""
RECLAIM_STEP_NS = 50_000
"""Reclaim shows its work, and pays for it, at least this often."""


def frames_of(topology: Topology) -> list[tuple[int, int]]:
    """(first frame, frames) of each node: one after the other, at multiples of a section."""
    placed, first = [], 0
    for node in topology.nodes:
        frames = node.memory_bytes // PAGE_BYTES
        placed.append((first, frames))
        first = -(-(first + frames) // SECTION_PAGES) * SECTION_PAGES
    return placed


def disks_of(config: Config) -> tuple[list[tuple[Any, int]], list[tuple[int, int]]]:
    """(model, blocks) of each disk; (disk, first block) of each swap area: shared disks fill up from their start."""
    disks: list[tuple[Any, int]] = [(disk, disk.size // PAGE_BYTES) for disk in config.machine.disk]
    names = [disk.name for disk in config.machine.disk]
    filled = dict.fromkeys(names, 0)
    areas = []
    for area in config.machine.swap:
        if area.device == "partition":
            areas.append((names.index(area.disk), filled[area.disk]))
            filled[area.disk] += area.size // PAGE_BYTES
        else:
            areas.append((len(disks), 0))
            disks.append((area, area.size // PAGE_BYTES))
    return disks, areas


def power_on(config: Config, topology: Topology) -> Kernel:
    machine, kernel = config.machine, config.kernel
    placed = frames_of(topology)
    tasks = sum(workload.count for workload in config.workload) + ROWS_BEHIND_TASKS
    mmu = machine.mmu or machine.arch
    number, levels, bits, user_pages = MMUS[mmu]
    k = new_kernel(
        Sizes(
            nodes=len(topology),
            cpus=topology.cpu_count,
            frames=max(first + frames for first, frames in placed),
            tasks=tasks,
            mms=tasks,
            vmas=256,
            table_entries=1 << bits,
            swap_slots=max(1, sum(area.size // PAGE_BYTES for area in machine.swap)),
            events=max(1, config.run.record_events),
            disks=max(1, len(disks_of(config)[0])),
            tlb_sets=machine.tlb.entries // machine.tlb.ways if kernel.switches.tlb else 1,
            tlb_ways=machine.tlb.ways if kernel.switches.tlb else 0,
            policies=24,
        )
    )
    vm = k.vm[0]
    vm.mmu, vm.levels, vm.entry_bits, vm.task_size_vpn = number, levels, bits, user_pages
    vm.record_events = int(config.run.record_events > 0)
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
    vm.pge, vm.no_wp, vm.wp_works_ok = int(machine.global_pages), int(not machine.write_protect), 1
    for node in topology.nodes:
        for cpu in node.cpus:
            k.cpus[cpu].node = node.id
    for name, cost in config.costs.entries().items():
        setattr(k.costs[0], name, cost)
    _set_sysctls(k, config)
    disks, areas = disks_of(config)
    for area, (disk, start) in zip(machine.swap, areas, strict=True):
        more: dict[str, int] = {"writepage": WRITEPAGE_ASYNC, "device": disk, "start_block": start}
        if isinstance(disks[disk][0], ZramDrive):
            more |= {"writepage": WRITEPAGE_SYNC, "sync_ns": disks[disk][0].latency}
        swapon(k, area.size // PAGE_BYTES, area.priority, **more)
    return k


def _set_sysctls(k: Kernel, config: Config) -> None:
    vm, sysctl, switches = k.vm[0], config.kernel.sysctl, config.kernel.switches
    if config.kernel.profile == "linux-2.4.37":  # older kernels have no such knobs
        vm.vm_passes = sysctl.vm_passes
        vm.vm_cache_scan_ratio = sysctl.vm_cache_scan_ratio
        vm.vm_mapped_ratio = sysctl.vm_mapped_ratio
        vm.vm_lru_balance_ratio = sysctl.vm_lru_balance_ratio
        vm.vm_vfs_scan_ratio = sysctl.vm_vfs_scan_ratio
        vm.vm_anon_lru = sysctl.vm_anon_lru
    if sysctl.page_cluster is not None:
        vm.page_cluster = sysctl.page_cluster
    if not switches.clusters:
        vm.swapfile_cluster = 0
    vm.hysteresis, vm.second_chance = int(switches.hysteresis), int(switches.second_chance)
    vm.page_aging, vm.launder = int(switches.page_aging), int(switches.launder)
    vm.pageout = int(switches.pageout)
    vm.swap_readahead = int(switches.readahead)
    vm.zero_page = int(switches.zero_page)
    vm.local_pages = int(switches.local_pages)
    vm.locks, vm.pgt_cache = int(switches.locks), int(switches.table_cache)
    vm.copy_on_write = int(switches.copy_on_write)
    vm.oom_killer = int(config.kernel.oom_killer)
    vm.numa_nearest = int(config.kernel.numa_fallback == "nearest")
    vm.reclaim_quantum_ns = RECLAIM_STEP_NS
