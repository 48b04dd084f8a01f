# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---
# %% [markdown]
# # A study with intervals
# Does a second swap device pay, and when?  A question, a design, replicas, means with 95 % intervals, a paired
# comparison, a picture, and a sentence that can be defended.

# %%
import tempfile
from pathlib import Path

import pandas as pd

from numa_sim import Config, open_sweep, run_sweep

# %% [markdown]
# ## Question and design
# Four programs use 3 MiB each, at random, on a machine whose memory is just too small or much too small for all.  We
# vary the memory, and whether swap is one hard disk or two of equal priority (the kernel then takes them in turns).
# Six replicas of each point; replicas of one number have the same random numbers at every point.

# %%
disk = {"device": "hdd", "size": "32MiB", "priority": 5}
study = Config.of(
    machine={"nodes": [{"memory": "8MiB", "cpus": "0-3"}], "distances": [[10]], "swap": [disk]},
    kernel={"profile": "linux-2.4.37"},
    workload=[
        {
            "name": "program",
            "count": 4,
            "program": [
                {"op": "mmap", "as": "heap", "size": "3MiB"},
                {"op": "touch", "on": "heap", "pattern": {"kind": "sequential"}, "accesses": 768, "write": 1.0},
                {"op": "touch", "on": "heap", "pattern": {"kind": "zipf", "s": 0.6}, "accesses": 300, "write": 0.5},
            ],
        }
    ],
    run={"seed": 11, "sample": "10ms"},
    sweep={
        "replicas": 6,
        "grid": {"machine.nodes.0.memory": ["8MiB", "12MiB"]},
        "cases": [
            {"label": "one disk", "machine": {"swap": [disk]}},
            {"label": "two disks", "machine": {"swap": [disk, disk]}},
        ],
    },
)
folder = Path(tempfile.mkdtemp()) / "second-disk"
run_sweep(study, folder)
sweep = open_sweep(folder)
sweep

# %% [markdown]
# ## Means
# Over replicas, with Student's interval.  The table of all runs is `sweep.to_pandas()`, one row each.

# %%
means = pd.DataFrame(sweep.mean("end_ns"))
means[["mean", "half_width"]] = (means[["mean", "half_width"]] / 1e9).round(2)
means.drop(columns=["low", "high"]).rename(columns={"mean": "mean, s", "half_width": "± s"})

# %%
sweep.plot.facets(metric="end_ns")

# %% [markdown]
# ## The comparison
# Paired by replica, for each size of memory.  "Better" is said only where the interval of the difference excludes 0.

# %%
factor = next(name for name in sweep.factors if name != "machine.nodes.0.memory")
verdicts = {
    size: sweep.compare("end_ns", factor, "two disks", "one disk", where={"machine.nodes.0.memory": size})
    for size in sweep.factors["machine.nodes.0.memory"]
}
for size, verdict in verdicts.items():
    print(f"{size}: {verdict.better} is better; the run takes {verdict.paired.ratio} times as long with two disks")

# %%
sweep.plot.difference(metric="end_ns", factor=factor, a="two disks", b="one disk", relative=True)

# %% [markdown]
# ## What can be said
# A second disk always shortens the run; with 8 MiB, where all four programs wait for pages most of the time, it nearly
# halves it.  With 12 MiB it saves a quarter: there are fewer requests, which meet less often.

# %%
assert all(verdict.better == "two disks" for verdict in verdicts.values())
small, large = (verdicts[size].paired.ratio for size in ("8MiB", "12MiB"))
assert small.high < large.low, "the intervals do not even overlap"

# %% [markdown]
# **Threats.**  One program, one pattern; the kernel's costs are guesses (ordinal), the devices' latencies measured.
# Replicas differ by the pattern's chance alone.  Whoever doubts a figure can make each run again:
# `numa-sim reproduce FOLDER/runs/RUN`, and `numa-sim report FOLDER` writes all of this as one page.

# %%
from numa_sim import write_report

report = write_report(folder)
print(f"{report.name}: {report.stat().st_size // 1024} KiB")
