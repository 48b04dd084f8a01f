"""Scenarios 4 and 5: a memory hog and packets against a sequential reader, under the first 2.4 and the last."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from numa_sim.config import load
from numa_sim.processes.machine import Machine
from numa_sim.results import Run

CONFIGS = Path(__file__).parents[2] / "configs"


@cache
def run(name: str, *settings: str) -> Run:
    return Run.of(Machine(load(CONFIGS / f"{name}.toml", settings)).run_to_end())


def totals(run: Run) -> dict[str, Any]:
    return run.summary["totals"]["vmstat"]


def test_both_run_the_same_load() -> None:
    texts = [(CONFIGS / f"{name}.toml").read_text() for name in ("ageing-2.4.0", "balance-2.4.37")]
    same = {
        text[text.index("[machine]") :].replace("linux-2.4.0", "KERNEL").replace("linux-2.4.37", "KERNEL")
        for text in texts
    }
    assert len(same) == 1


def test_2_4_0_ages_launders_and_takes_clean_pages() -> None:
    old = totals(run("ageing-2.4.0"))
    assert old["pgage_up"] > 0 < old["pgage_down"]
    assert old["pglaunder_clean"] > old["pglaunder_write"] > 0  # pages of the file are clean already
    assert old["reclaim_page_direct"] > 0
    assert old["kswapd_wait"] > 0 == old["allocstall"]
    node = run("ageing-2.4.0").summary["nodes"][0]
    assert node["inactive_dirty_pages"] > 0 < node["inactive_clean_pages"], "at the end"


def test_kreclaimd_frees_clean_pages_for_packets_and_without_it_packets_are_lost() -> None:
    """Scenario 4: requests that cannot wait may not take clean pages themselves."""
    on, off = totals(run("ageing-2.4.0")), totals(run("ageing-2.4.0", "kernel.switches.kreclaimd=false"))
    assert on["kreclaimd_wakeup"] > 0 == on["pgalloc_fail"]
    assert off["kreclaimd_wakeup"] == 0 < off["pgalloc_fail"]
    assert on["reclaim_page"] > on["reclaim_page_direct"], "what it freed"
    assert off["reclaim_page"] == off["reclaim_page_direct"]
    assert sum(run("ageing-2.4.0").summary["kreclaimd"]["parts_ns"].values()) > 0


def test_without_ageing_pages_of_2_4_0_go_sooner() -> None:
    aged, young = totals(run("ageing-2.4.0")), totals(run("ageing-2.4.0", "kernel.switches.page_aging=false"))
    assert young["pgage_down"] / young["pgdeactivate"] < aged["pgage_down"] / aged["pgdeactivate"]


def test_without_launder_2_4_0_writes_more_per_page_it_reclaims() -> None:
    on, off = totals(run("ageing-2.4.0")), totals(run("ageing-2.4.0", "kernel.switches.launder=false"))
    assert off["pglaunder_write"] > on["pglaunder_write"]


def test_2_4_37_balances_two_lists_and_tasks_reclaim_for_themselves() -> None:
    late = totals(run("balance-2.4.37"))
    assert late["pgrefill"] > 0 < late["pgactivate"]
    assert late["pgsteal_kswapd"] > late["pgsteal_direct"] > 0 < late["allocstall"]
    assert late["kswapd_wait"] == late["pgage_up"] == late["reclaim_page"] == 0
    assert "kreclaimd" not in run("balance-2.4.37").summary


def test_the_balance_ratio_decides_how_much_of_the_active_list_is_looked_at() -> None:
    runs = [run("balance-2.4.37", f"kernel.sysctl.vm.vm_lru_balance_ratio={ratio}") for ratio in (0, 2)]
    refilled = [totals(each)["pgrefill"] for each in runs]
    assert refilled[0] > 2 * refilled[1] > 0


def test_the_old_kernel_swaps_for_a_stream_that_the_last_one_keeps_out() -> None:
    """2.4.37 lets pages read once go first; 2.4.0 makes them as young as any, and swaps the hog out."""
    assert totals(run("ageing-2.4.0"))["pswpout"] > 2 * totals(run("balance-2.4.37"))["pswpout"]


def test_both_show_their_lists_over_time() -> None:
    for name in ("ageing-2.4.0", "balance-2.4.37"):
        for column in ("active_pages", "inactive_pages"):
            assert max(run(name).timeseries.column(column).to_pylist()) > 0, (name, column)
