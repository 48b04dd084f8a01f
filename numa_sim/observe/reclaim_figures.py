"""The figures people read reclaim by, from its counters; definitions as in MMTests' vmstat report (mmtests, M. Gorman).

A page is *scanned* when reclaim looks at it and *stolen* when it frees it, by kswapd or by a task that needed memory
(direct).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["reclaim_figures"]

_NS_PER_S = 1_000_000_000


def reclaim_figures(counters: Mapping[str, int], run_ns: int) -> dict[str, Any]:
    """Efficiency, velocity and share of direct reclaim, of one node or of the machine.

    Parameters
    ----------
    counters : mapping of str to int
        Named as `VMSTAT`.
    run_ns : int
        Time over which they were counted, ns.

    Returns
    -------
    dict
        ``mean_efficiency_percent`` (stolen per 100 scanned pages), and of kswapd and direct reclaim alone
        ``mean_kswapd_efficiency_percent`` and ``mean_direct_efficiency_percent``; ``mean_velocity_pages_per_s``, with
        ``mean_kswapd_...`` and ``mean_direct_...``: pages scanned per second of simulated time;
        ``mean_direct_percent``: pages of 100 scanned ones that direct reclaim scanned.  Of nothing scanned there is no
        efficiency and no share: None.  Rounded to 3 digits.
    """
    scanned = {who: counters[f"pgscan_{who}"] for who in ("kswapd", "direct")}
    stolen = {who: counters[f"pgsteal_{who}"] for who in ("kswapd", "direct")}
    all_scanned = sum(scanned.values())
    return {
        "mean_efficiency_percent": _percent(sum(stolen.values()), all_scanned),
        "mean_kswapd_efficiency_percent": _percent(stolen["kswapd"], scanned["kswapd"]),
        "mean_direct_efficiency_percent": _percent(stolen["direct"], scanned["direct"]),
        "mean_velocity_pages_per_s": _per_s(all_scanned, run_ns),
        "mean_kswapd_velocity_pages_per_s": _per_s(scanned["kswapd"], run_ns),
        "mean_direct_velocity_pages_per_s": _per_s(scanned["direct"], run_ns),
        "mean_direct_percent": _percent(scanned["direct"], all_scanned),
    }


def _percent(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 3) if whole else None


def _per_s(pages: int, run_ns: int) -> float:
    return round(pages * _NS_PER_S / run_ns, 3) if run_ns else 0.0
