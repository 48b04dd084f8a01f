"""Constants of Linux 2.4.22 (2.4.16 and later are alike): one set of marks per zone, reclaim by falling priority."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from numa_sim.kernel.profiles.linux_2_4_37 import LINUX_2_4_37
from numa_sim.state.constants import KERNEL_2_4_22

LINUX_2_4_22 = replace(
    LINUX_2_4_37,
    name="linux-2.4.22",
    kernel=KERNEL_2_4_22,
    # mm/page_alloc.c: no classes yet, so nothing is reserved for lower ones
    lower_zone_reserve_ratio=None,
    # mm/vmscan.c: kswapd sleeps one HZ
    kswapd_back_off_ns=1_000_000_000,
    # mm/vmscan.c: no tunables; DEF_PRIORITY is the number of passes.  Only a page on the inactive list can make
    # shrink_cache call swap_out, so anonymous pages must be on it from their first fault: decision 0009.
    sysctl=MappingProxyType({"vm_passes": 6, "vm_anon_lru": 1}),
)
