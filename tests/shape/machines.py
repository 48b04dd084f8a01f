"""Machines for closed forms, and where a task's pages are."""

from __future__ import annotations

from typing import Any

import numpy as np

from numa_sim.compiled import entry
from numa_sim.kernel.pgtable import leaf_row
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import NR_ZONES, PAGE_SHIFT, PTE_PRESENT
from numa_sim.state.kernel import Kernel

PAGE = 4096
_leaf_row = entry(leaf_row)


def one_node(cpus: int = 1, size: str = "16MiB", **tables: Any) -> Machine:
    """A machine of one node."""
    return Machine.of(nodes=[{"memory": size, "cpus": f"0-{cpus - 1}"}], distances=[[10]], **tables)


def ptes_of(k: Kernel, task: int, start_vpn: int, pages: int) -> np.ndarray:
    """The page-table entries of a range of a task's pages."""
    span = 1 << int(k.vm[0].entry_bits)
    result = np.zeros(pages, np.int64)
    for first in range(start_vpn // span * span, start_vpn + pages, span):
        row = int(_leaf_row(k, int(k.tasks[task].mm), first))
        low, high = max(first, start_vpn), min(first + span, start_vpn + pages)
        if row >= 0:
            result[low - start_vpn : high - start_vpn] = k.tables[row, low - first : high - first]
    return result


def homes(k: Kernel, task: int, start_vpn: int, pages: int) -> list[int]:
    """Node of each page, -1 if it is not mapped."""
    ptes = ptes_of(k, task, start_vpn, pages)
    frames = ptes >> PAGE_SHIFT
    zones = k.section_zone[np.where(ptes & PTE_PRESENT, frames, 0) >> int(k.vm[0].section_shift)]
    return np.where(ptes & PTE_PRESENT, zones // NR_ZONES, -1).tolist()


def free_pages(k: Kernel) -> int:
    return int(k.zones["free_pages"].sum())
