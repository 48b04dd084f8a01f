"""The marks below which the kernel starts to reclaim."""

from __future__ import annotations

from typing import Any

from numa_sim.kernel.mmzone import ZONE_NAMES
from numa_sim.state.constants import KERNEL_2_2, WMARK_HIGH, WMARK_LOW, WMARK_MIN
from numa_sim.state.kernel import Kernel

__all__ = ["watermark_rows"]


def watermark_rows(k: Kernel) -> list[dict[str, Any]]:
    """Marks of each zone that has pages, which stay the same throughout a run.

    Returns
    -------
    list of dict
        ``node``, ``zone``, and ``min``, ``low``, ``high`` in pages, as a request meets them whose first choice is the
        zone itself.  Of 2.2, which has one ``freepages`` for the machine, one row of node -1 and zone ``"all"``.
    """
    vm = k.vm[0]
    if vm.profile == KERNEL_2_2:
        marks = (int(vm.freepages_min), int(vm.freepages_low), int(vm.freepages_high))
        return [_row(-1, "all", *marks)]
    rows = []
    for zone in k.zones:
        if zone["size"] > 0:
            own = zone.watermarks[zone.index]
            marks = (int(own[WMARK_MIN]), int(own[WMARK_LOW]), int(own[WMARK_HIGH]))
            rows.append(_row(int(zone.node), ZONE_NAMES[zone.index], *marks))
    return rows


def _row(node: int, zone: str, lowest: int, low: int, high: int) -> dict[str, Any]:
    return {"node": node, "zone": zone, "min": lowest, "low": low, "high": high}
