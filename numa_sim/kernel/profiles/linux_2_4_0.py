"""Constants of Linux 2.4.0: the first 2.4, whose reclaim ages pages and keeps clean ones apart."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from numa_sim.kernel.profiles.linux_2_4_37 import LINUX_2_4_37
from numa_sim.state.constants import KERNEL_2_4_0

LINUX_2_4_0 = replace(
    LINUX_2_4_37,
    name="linux-2.4.0",
    kernel=KERNEL_2_4_0,
    # mm/page_alloc.c: zone_balance_ratio, zone_balance_min; one set of marks per zone
    zone_balance_ratio=(32, 128, 128),
    zone_balance_min=10,
    lower_zone_reserve_ratio=None,
    # include/linux/mm.h: a wait queue in every page, so no table of them
    pages_per_waitqueue=0,
    # mm/swap.c: swap_setup
    page_cluster_below_mib=((16, 2), (32, 3)),
    page_cluster=4,
    # include/linux/mm.h: with age, zone, virtual and the wait queue (SMP) of each page; x86-64 is ours, 2.4.0 had none
    struct_page_bytes=MappingProxyType({"i386": 68, "x86-64": 136}),
    # mm/swap.c: pager_daemon.swap_cluster
    sysctl=MappingProxyType({"swap_cluster": 8, "vm_anon_lru": 0}),
)
