"""Constants of Linux 2.2: one pool of pages for the whole machine, whatever its nodes (read in 2.2.1)."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from numa_sim.kernel.profiles.linux_2_4_0 import LINUX_2_4_0
from numa_sim.state.constants import KERNEL_2_2

LINUX_2_2 = replace(
    LINUX_2_4_0,
    name="linux-2.2",
    kernel=KERNEL_2_2,
    # include/linux/mm.h: links, inode, offset, hash, count, flags, wait queue, buffers; x86-64 is ours, 2.2 had none
    struct_page_bytes=MappingProxyType({"i386": 44, "x86-64": 80}),
    # mm/swap.c: pager_daemon.swap_cluster, a number of pages here; mm/filemap.c: the longest file read-ahead
    sysctl=MappingProxyType({"swap_cluster": 32, "vm_anon_lru": 0, "vm_max_readahead": 18}),
)
