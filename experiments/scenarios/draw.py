"""Draw the pictures of the scenarios: ``python experiments/scenarios/draw.py [NAME ...]``.

Each runs a configuration of ``configs/`` and writes ``experiments/scenarios/NAME.png``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes

from numa_sim.config import load
from numa_sim.kernel.vmalloc import areas
from numa_sim.processes.machine import Machine
from numa_sim.results import Run
from numa_sim.results.pictures import latency_breakdown, node_fill, reclaim_rates, style, swap_use
from numa_sim.results.pictures.figure import Picture
from numa_sim.results.pictures.series import by_node
from numa_sim.state.kernel import Kernel

HERE = Path(__file__).parent
CONFIGS = HERE.parents[1] / "configs"
PAGES_PER_MIB = 256
BLUE, VERMILION = "#0072B2", "#D55E00"
IDEAS = ("kernel", "immediate", "lru", "staging", "dirty-clean", "whole-process")


def run(name: str, *settings: str) -> Run:
    """Run ``configs/NAME.toml`` with `settings` as given to ``--set``."""
    return Run.of(Machine(load(CONFIGS / f"{name}.toml", settings)).run_to_end())


def fill_and_spill() -> Picture:
    """Scenario 3: which node is filled next, by distance and in 2.4's own order."""
    strict = ("kernel.numa_fallback=strict24", "kernel.oom_killer=false")
    picture = Picture(figsize=(10, 6.5), layout="constrained")
    upper, lower = picture.subplots(2, 1)
    _filled_nodes(run("fill-and-spill"), upper, "nearest: the nodes fill by distance")
    title = "strict24: the node initialised last, then the one before it; each page after a vain search on node 0"
    _filled_nodes(run("fill-and-spill", *strict), lower, title)
    return picture


def _filled_nodes(result: Run, axes: Axes, title: str) -> None:
    """Node fill of the nodes the program reached."""
    used, free = by_node(result, "used_pages"), by_node(result, "free_pages")
    fill = used.max(axis=0) / (used + free).max(axis=0)
    node_fill.plot(result, axes, nodes=[node for node, share in enumerate(fill) if share >= 0.05])
    _title(axes, title)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize="medium", fontweight="bold")


def thrashing() -> Picture:
    """Scenario 6: disk traffic, and where the time went, under each idea of which page goes."""
    runs = {idea: run("thrashing", f"kernel.reclaim={idea}") for idea in IDEAS}
    roomy = run("thrashing", "machine.nodes.0.memory=10MiB")
    picture = Picture(figsize=(10, 11), layout="constrained")
    grid = picture.add_gridspec(4, 2, height_ratios=[1.7, 1, 1, 1])
    moved, times = picture.add_subplot(grid[0, 0]), picture.add_subplot(grid[0, 1])
    rows = range(len(IDEAS))
    for shift, counter, colour in ((-0.2, "pswpin", BLUE), (0.2, "pswpout", VERMILION)):
        pages = [result.summary["totals"]["vmstat"][counter] for result in runs.values()]
        label = {"pswpin": "read from swap", "pswpout": "written to swap"}[counter]
        bars = moved.barh([row + shift for row in rows], pages, 0.38, color=colour, label=label)
        moved.bar_label(bars, padding=3, fontsize="small")
    _title(moved, "Swap traffic")
    moved.set(xlabel="pages", xscale="log", xlim=(100, 400_000))
    moved.legend(frameon=False, loc="center right", fontsize="small")
    ends_ms = [result.summary["run"]["end_ns"] / 1e6 for result in runs.values()]
    times.bar_label(times.barh(rows, ends_ms, 0.6, color="#999999"), fmt="%.0f", padding=3, fontsize="small")
    roomy_ms = roomy.summary["run"]["end_ns"] / 1e6
    times.axvline(roomy_ms, color="black", linestyle="--", label=f"with 10 MiB: {roomy_ms:.0f} ms")
    _title(times, "Run time")
    times.set_xlabel("simulated time, ms")
    times.margins(x=0.15)
    times.legend(frameon=False, loc="center right", fontsize="small")
    for axes in (moved, times):
        axes.set_yticks(rows, IDEAS)
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    for row, idea in enumerate(("kernel", "immediate", "whole-process"), 1):
        _title(latency_breakdown.plot(runs[idea], picture.add_subplot(grid[row, :])), f"Where the time went: {idea}")
    return picture


def out_of_memory() -> Picture:
    """Scenario 14: memory, swap, reclaim and the two tasks until one is killed."""
    result = run("out-of-memory")
    picture = Picture(figsize=(10, 9), layout="constrained")
    axes = picture.subplots(4, 1)
    for plot, ax in zip((node_fill.plot, swap_use.plot, reclaim_rates.plot, latency_breakdown.plot), axes, strict=True):
        plot(result, ax)
    killed = next(kill for kill in result.summary["oom_kills"])
    for ax in axes[:3]:
        at = killed["t_ns"] / result.summary["run"]["end_ns"] * ax.get_xlim()[1]
        ax.axvline(at, color="black", linestyle=":", linewidth=1.0)
    axes[0].annotate(f"{killed['task']} is killed ", (at, 50), ha="right", va="center", fontsize="small")
    return picture


def two_kernels() -> Picture:
    """Scenarios 4 and 5: one load under Linux 2.4.0 and 2.4.37, lists over time and where the time went."""
    picture = Picture(figsize=(10, 10), layout="constrained")
    axes = picture.subplots(4, 1, height_ratios=[1, 1, 0.9, 0.9])
    runs = {"linux-2.4.0": run("ageing-2.4.0"), "linux-2.4.37": run("balance-2.4.37")}
    for ax, (kernel, result) in zip(axes[:2], runs.items(), strict=True):
        frame = result.to_pandas().groupby("t_ns").sum(numeric_only=True)
        lists = {"active": "active_pages", "inactive": "inactive_pages", "free": "free_pages"}
        for i, (label, column) in enumerate(lists.items()):
            ax.plot(frame.index / 1e9, frame[column], label=label, **style.line(i))
        _title(ax, f"{kernel}: pages on the lists")
        ax.set(xlabel="simulated time, s", ylabel="pages")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.03), frameon=False, fontsize="small")
    for ax, (kernel, result) in zip(axes[2:], runs.items(), strict=True):
        _title(latency_breakdown.plot(result, ax), f"{kernel}: where the time went")
    return picture


def swapoff_under_load() -> Picture:
    """Scenario 8: what lies in which swap area while one is switched off and on again."""
    result = run("swapoff-under-load")
    picture = Picture(figsize=(10, 7.5), layout="constrained")
    axes = picture.subplots(3, 1)
    for plot, ax in zip((swap_use.plot, node_fill.plot, latency_breakdown.plot), axes, strict=True):
        plot(result, ax)
    return picture


def fork_bomb() -> Picture:
    """Scenario 7: the memory 64 processes take, with copy-on-write and with copies made in fork."""
    picture = Picture(figsize=(10, 7), layout="constrained")
    shared, copied, swap = picture.subplots(3, 1)
    often = "run.sample=50us"
    _title(node_fill.plot(run("fork-bomb", often), shared), "copy-on-write: node fill; nothing goes to swap")
    result = run("fork-bomb", often, "kernel.switches.copy_on_write=false")
    _title(node_fill.plot(result, copied), "every fork copies: node fill")
    _title(swap_use.plot(result, swap), "every fork copies: swap")
    return picture


def vmalloc_placement() -> Picture:
    """Scenario 13: how the range of vmalloc is cut up under three placement policies, and how often nothing fits."""
    picture = Picture(figsize=(10, 5), layout="constrained")
    grid = picture.add_gridspec(3, 2, width_ratios=[3.4, 1])
    refused: dict[str, int] = {}
    for row, policy in enumerate(("first", "best", "worst")):
        machine = Machine(load(CONFIGS / "vmalloc-placement.toml", (f"kernel.vmalloc_placement={policy}",)))
        refused[policy] = Run.of(machine.run_to_end()).summary["totals"]["vmstat"]["vmalloc_fail"]
        axes = picture.add_subplot(grid[row, 0])
        _address_range(machine.kernel, axes, f"{policy} fit")
        if row == 2:
            axes.set_xlabel("address above VMALLOC_START, MiB")
    bars = picture.add_subplot(grid[:, 1])
    bars.bar_label(bars.bar(list(refused), list(refused.values()), 0.6, color=VERMILION), padding=3, fontsize="small")
    _title(bars, "Requests refused, of 3000")
    bars.set_xlabel("placement")
    bars.margins(y=0.1)
    bars.spines[["top", "right"]].set_visible(False)
    return picture


def _address_range(k: Kernel, axes: Axes, title: str) -> None:
    """The areas of vmalloc at the end of a run, and the longest gap between them."""
    start, end = int(k.vm[0].vmalloc_start), int(k.vm[0].vmalloc_end)
    taken = [((first - start) / PAGES_PER_MIB, pages / PAGES_PER_MIB) for first, pages in areas(k)]
    axes.broken_barh(taken, (0, 1), color=BLUE, linewidth=0)
    ends = [0.0, *(at + length for at, length in taken)]
    gaps = [(begin - gap_at, gap_at) for gap_at, begin in zip(ends, [*(at for at, _ in taken), 0.0], strict=True)]
    length, at = max([*gaps[:-1], ((end - start) / PAGES_PER_MIB - ends[-1], ends[-1])])
    axes.broken_barh([(at, length)], (0, 1), color="#F0E442")
    axes.set(xlim=(0, (end - start) / PAGES_PER_MIB), ylim=(0, 1), yticks=[])
    axes.spines[["top", "right", "left"]].set_visible(False)
    number = sum(gap > 0 for gap, _ in gaps)
    _title(axes, f"{title}: {len(taken)} areas (blue) and {number} gaps, the longest {length:.2f} MiB (yellow)")


PICTURES: dict[str, Callable[[], Picture]] = {
    "fill-and-spill": fill_and_spill,
    "two-kernels": two_kernels,
    "swapoff-under-load": swapoff_under_load,
    "thrashing": thrashing,
    "out-of-memory": out_of_memory,
    "fork-bomb": fork_bomb,
    "vmalloc-placement": vmalloc_placement,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or PICTURES:
        (HERE / f"{name}.png").write_bytes(PICTURES[name]().png())
