"""Constants of Linux 2.4.37.11: the last 2.4, with watermarks per class and per-zone LRU counters."""

from __future__ import annotations

from types import MappingProxyType

from numa_sim.kernel.profiles.profile import Profile
from numa_sim.state.constants import KERNEL_2_4_37

LINUX_2_4_37 = Profile(
    name="linux-2.4.37",
    kernel=KERNEL_2_4_37,
    # mm/page_alloc.c: zone_balance_ratio, zone_balance_min, zone_balance_max, lower_zone_reserve_ratio
    zone_balance_ratio=(128, 128, 128),
    zone_balance_min=20,
    zone_balance_max=255,
    lower_zone_reserve_ratio=(256, 32),
    # include/linux/mmzone.h, mm/page_alloc.c: wait_table_size
    pages_per_waitqueue=256,
    wait_table_max=4096,
    # mm/swap.c: swap_setup
    page_cluster_below_mib=((16, 2),),
    page_cluster=3,
    # include/linux/mm.h: the fields of struct page added up; i386 with HIGHMEM has `virtual` as well
    struct_page_bytes=MappingProxyType({"i386": 48, "x86-64": 88}),
    # The image starts at 1 MB; 2 MiB with data and bss is a common build of the time (ours: it depends on the build)
    kernel_start_bytes=1 << 20,
    kernel_image_bytes=2 << 20,
    # arch/i386/kernel/head.S: empty_zero_page at 0x104000
    zero_page_offset_pages=4,
    # include/linux/bootmem.h: alloc_bootmem looks from MAX_DMA_ADDRESS upwards
    bootmem_goal_bytes=16 << 20,
    # mm/vmscan.c: kswapd sleeps 5 * HZ
    kswapd_back_off_ns=5_000_000_000,
    sysctl=MappingProxyType(
        {
            # mm/vmscan.c
            "vm_passes": 60,
            "vm_cache_scan_ratio": 6,
            "vm_mapped_ratio": 100,
            "vm_lru_balance_ratio": 2,
            "vm_vfs_scan_ratio": 6,
            "vm_anon_lru": 0,
        }
    ),
)
