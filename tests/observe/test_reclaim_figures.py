"""Efficiency, velocity and the share of direct reclaim, from the counters they are made of."""

from __future__ import annotations

from typing import Any

from machine.small import MIB_PAGES, counters, finish, small, sweep

from numa_sim.observe.reclaim_figures import reclaim_figures
from numa_sim.results.summary import summarise

NOTHING = dict.fromkeys(("pgscan_kswapd", "pgscan_direct", "pgsteal_kswapd", "pgsteal_direct"), 0)


def test_by_hand() -> None:
    counted = {"pgscan_kswapd": 300, "pgscan_direct": 100, "pgsteal_kswapd": 150, "pgsteal_direct": 10}
    assert reclaim_figures(counted, 2_000_000_000) == {
        "mean_efficiency_percent": 40.0,
        "mean_kswapd_efficiency_percent": 50.0,
        "mean_direct_efficiency_percent": 10.0,
        "mean_velocity_pages_per_s": 200.0,
        "mean_kswapd_velocity_pages_per_s": 150.0,
        "mean_direct_velocity_pages_per_s": 50.0,
        "mean_direct_percent": 25.0,
    }


def test_nothing_scanned_has_no_efficiency_and_no_share() -> None:
    for run_ns in (0, 1_000_000_000):
        figures = reclaim_figures(NOTHING, run_ns)
        assert all(value is None for name, value in figures.items() if name.endswith("_percent"))
        assert all(value == 0.0 for name, value in figures.items() if name.endswith("_per_s"))
    only_kswapd = reclaim_figures({**NOTHING, "pgscan_kswapd": 8, "pgsteal_kswapd": 8}, 1)
    assert only_kswapd["mean_direct_percent"] == 0.0
    assert only_kswapd["mean_direct_efficiency_percent"] is None


def _summary(kswapd: bool) -> tuple[dict[str, Any], dict[str, int]]:
    machine = small(nodes=(4, 4), kernel={"switches": {"kswapd": kswapd}})
    machine.add(sweep(10 * MIB_PAGES, times=2), cpus=[0])
    return summarise(finish(machine)), counters(machine)


def test_a_run_without_kswapd_reclaims_all_directly() -> None:
    (with_it, counted), (without, _) = _summary(True), _summary(False)
    assert without["totals"]["reclaim"]["mean_direct_percent"] == 100.0
    assert without["totals"]["reclaim"]["mean_kswapd_velocity_pages_per_s"] == 0.0
    assert with_it["totals"]["reclaim"]["mean_direct_percent"] < 100.0
    assert all("reclaim" in node for node in with_it["nodes"])
    seconds = with_it["run"]["end_ns"] / 1e9
    scanned = counted["pgscan_kswapd"] + counted["pgscan_direct"]
    assert abs(with_it["totals"]["reclaim"]["mean_velocity_pages_per_s"] - scanned / seconds) < 0.01
    velocities = [node["reclaim"]["mean_velocity_pages_per_s"] for node in with_it["nodes"]]
    assert abs(sum(velocities) - scanned / seconds) < 0.01
