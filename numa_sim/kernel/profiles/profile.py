"""What a kernel profile is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Profile:
    """Constants of one kernel version, under the kernel's own names where it has one (spec appendix A).

    Parameters
    ----------
    name : str
        What a configuration calls it, such as ``linux-2.4.37``.
    kernel : int
        KERNEL_*: which rules run (``vm.profile``).
    zone_balance_ratio : tuple of int
        Per zone index: the min mark is pages / ratio (boot option ``memfrac=``).  2.2 has no zones and does not look.
    zone_balance_min, zone_balance_max : int
        Bounds of the min mark, pages.
    lower_zone_reserve_ratio : tuple of int or None
        For DMA and NORMAL: what a lower zone keeps from requests that could use a higher one; None: nothing, a zone
        has one set of marks for all requests.
    pages_per_waitqueue, wait_table_max : int
        Size of a zone's hash of page wait queues; 0 pages per queue: there is no hash, each page has its own queue.
    page_cluster_below_mib : tuple of (int, int)
        `swap_setup`: (memory in MiB, log2 of pages of swap read-ahead below that), ascending.
    page_cluster : int
        The same for larger machines.
    struct_page_bytes : mapping
        Architecture to sizeof(struct page), which decides how much memory `mem_map` takes at boot.
    kernel_start_bytes, kernel_image_bytes : int
        Where the kernel image lies on the boot node, and its size with data and bss.
    zero_page_offset_pages : int
        Which page of the image is ZERO_PAGE.
    bootmem_goal_bytes : int
        Where `alloc_bootmem` starts to look, so as to spare ISA DMA memory.
    kswapd_back_off_ns : int
        How long kswapd rests after a zone it could not balance.
    sysctl : mapping
        Defaults of the ``vm.*`` sysctls, by their names in ``vm``.
    """

    name: str
    kernel: int
    zone_balance_ratio: tuple[int, int, int]
    zone_balance_min: int
    zone_balance_max: int
    lower_zone_reserve_ratio: tuple[int, int] | None
    pages_per_waitqueue: int
    wait_table_max: int
    page_cluster_below_mib: tuple[tuple[int, int], ...]
    page_cluster: int
    struct_page_bytes: MappingProxyType[str, int]
    kernel_start_bytes: int
    kernel_image_bytes: int
    zero_page_offset_pages: int
    bootmem_goal_bytes: int
    kswapd_back_off_ns: int
    sysctl: MappingProxyType[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by name, so that a worker process gets its own registered profile."""
        from numa_sim.kernel.profiles import get

        return get, (self.name,)
