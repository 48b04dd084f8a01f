"""What does each idea buy?  Seven ways to choose pages, the same recorded program, less and less memory.

    python study.py            # runs what results.csv lacks, then draws figure.png and prints the table

Every run is one machine with one node and one NVMe swap device, on which GNU sort (recorded, 2,891 pages) runs beside
a small neighbour whose accesses are drawn from the run's seed; replicas differ by that seed alone.
"""

from __future__ import annotations

import csv
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from numa_sim.state.counters import PSWPIN, PSWPOUT
from numa_sim.statistics import mean_interval

HERE = Path(__file__).parent
RESULTS = HERE / "results.csv"
FIGURE = HERE / "figure.png"
TRACE = HERE.parents[1] / "configs" / "traces" / "sort-text.npz"

POLICIES = ("immediate", "lru", "staging", "dirty-clean")
KERNELS = ("linux-2.4.0", "linux-2.4.22", "linux-2.4.37")
VARIANTS = (*POLICIES, *KERNELS)
MEMORY_MIB = (7, 8, 10, 12, 14)
SEEDS = (1, 2, 3, 4, 5)
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2")
METRICS = ("run_time_ms", "disk_reads", "disk_writes")


class Row(NamedTuple):
    """One run: pages read from and written to swap, and how long the program took, simulated."""

    variant: str
    memory_mib: int
    seed: int
    run_time_ms: float
    disk_reads: int
    disk_writes: int
    major_faults: int


def programs() -> tuple[Any, Any]:
    """The recorded sort, and a neighbour that uses half a MiB at random until the sort has ended."""
    from numa_sim import uniform
    from numa_sim.workloads.traces import trace_program

    ended = []

    def sort(task: Any) -> Any:
        yield from trace_program(TRACE)(task)
        ended.append(True)

    def neighbour(task: Any) -> Any:
        heap = yield task.mmap("512KiB")
        while not ended:
            yield task.touch(heap, uniform(), accesses=64, write=0.5, compute="20us")
            yield task.sleep("2ms")

    return sort, neighbour


def kernel_of(variant: str) -> dict[str, Any]:
    """The ``[kernel]`` table: one page a read for all, and for policies the head start kswapd gives the kernels."""
    alone = {"switches": {"readahead": False}}
    if variant in KERNELS:
        return {"profile": variant, **alone}
    return {"reclaim": variant, "reclaim_ahead": "512KiB", **alone}


def run(variant: str, memory_mib: int, seed: int) -> Row:
    """Simulate one machine."""
    from numa_sim import Machine

    machine = Machine.of(
        nodes=[{"memory": f"{memory_mib}MiB", "cpus": "0-1"}],
        distances=[[10]],
        tlb={"entries": 64, "ways": 4},  # as CPUs of the time had: what a TLB holds, page tables do not see
        swap=[{"device": "nvme", "size": "64MiB"}],
        kernel=kernel_of(variant),
        run={"seed": seed, "sample": "1s"},
    )
    sort, neighbour = programs()
    task = machine.add(sort, name="sort", cpus=[0])
    machine.add(neighbour, name="neighbour", cpus=[1])
    machine.run_to_end()
    vmstat = machine.kernel.vmstat.sum(axis=0)
    return Row(
        variant,
        memory_mib,
        seed,
        round((task.record.end_ns - task.record.start_ns) / 1e6, 3),
        int(vmstat[PSWPIN]),
        int(vmstat[PSWPOUT]),
        int(task.record.maj_flt),
    )


def finished() -> dict[tuple[str, int, int], Row]:
    """Runs that results.csv has."""
    if not RESULTS.exists():
        return {}
    with RESULTS.open(newline="") as file:
        rows = [Row(r["variant"], int(r["memory_mib"]), int(r["seed"]), float(r["run_time_ms"]), int(r["disk_reads"]),
                    int(r["disk_writes"]), int(r["major_faults"])) for r in csv.DictReader(file)]  # fmt: skip
    return {(row.variant, row.memory_mib, row.seed): row for row in rows}


def save(rows: list[Row]) -> None:
    """Write results.csv, in the order of the study."""
    rows.sort(key=lambda row: (VARIANTS.index(row.variant), row.memory_mib, row.seed))
    with RESULTS.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(rows)


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % confidence interval."""
    found = mean_interval(values)
    return found.estimate, found.half_width


def table(rows: list[Row]) -> str:
    """Markdown: a line per variant and memory size, means with their intervals."""
    lines = ["| who chooses | memory, MiB | run time, ms | pages read | pages written |", "|---|---|---|---|---|"]
    for variant in VARIANTS:
        for memory in MEMORY_MIB:
            group = [row for row in rows if (row.variant, row.memory_mib) == (variant, memory)]
            if group:
                cells = (interval([float(getattr(row, metric)) for row in group]) for metric in METRICS)
                text = " | ".join(f"{mean:,.0f} ± {half:,.0f}" for mean, half in cells)
                lines.append(f"| {variant} | {memory} | {text} |")
    return "\n".join(lines)


def draw(rows: list[Row]) -> None:
    """figure.png: run time, reads and writes over memory, one line per variant."""
    import matplotlib.pyplot as plt

    colours = dict(
        zip(VARIANTS, ("#000000", "#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#0072B2"), strict=True)
    )
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), layout="constrained")
    titles = ("run time of sort, ms", "pages read from swap", "pages written to swap")
    for axis, metric, title in zip(axes, METRICS, titles, strict=True):
        for variant in VARIANTS:
            points = []
            for memory in MEMORY_MIB:
                group = [float(getattr(r, metric)) for r in rows if (r.variant, r.memory_mib) == (variant, memory)]
                if group:
                    points.append((memory, *interval(group)))
            if points:
                x, mean, half = zip(*points, strict=True)
                style = "--" if variant in KERNELS else "-"
                axis.errorbar(x, mean, yerr=half, label=variant, color=colours[variant], linestyle=style, marker="o",
                              markersize=4, capsize=3, linewidth=1.5)  # fmt: skip
        axis.set(
            title=title, xlabel="memory of the machine, MiB", yscale="symlog" if metric != "run_time_ms" else "log"
        )
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=9)
    figure.savefig(FIGURE, dpi=150)


def main(processes: int = 2) -> None:
    """Run what is missing, in parallel; draw and print."""
    done = finished()
    wanted = [(v, m, s) for v in VARIANTS for m in MEMORY_MIB for s in SEEDS]
    missing = [case for case in wanted if case not in done]
    with ProcessPoolExecutor(processes) as pool:
        for case, row in zip(missing, pool.map(run, *zip(*missing, strict=True)) if missing else (), strict=True):
            done[case] = row
            save(list(done.values()))
            sys.stderr.write(f"{case[0]:>14} {case[1]:3} MiB, seed {case[2]}: {row.run_time_ms:,.0f} ms\n")
    rows = [done[case] for case in wanted]
    draw(rows)
    sys.stdout.write(table(rows) + "\n")


if __name__ == "__main__":
    main()
