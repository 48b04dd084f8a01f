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
# # First steps
# A machine with two NUMA nodes runs a program that needs more memory than it has.  Open this file as a notebook
# (`jupytext --to ipynb first_steps.py`), or run it as it is.

# %%
import pandas as pd

from numa_sim import Machine, MiB, Run, sequential, uniform, zipf


# %% [markdown]
# ## A program
# A program is a generator: it yields what the task does, and the machine does it.  `mmap` is answered with the region.


# %%
def hog(task):
    """Write 40 MiB page by page, then read and write it with a skew."""
    heap = yield task.mmap(40 * MiB)
    yield task.touch(heap, sequential(), write=1.0, compute="1us")
    yield task.touch(heap, zipf(0.99), accesses=50_000, write=0.3)


def neighbour(task):
    """Use 8 MiB all the time."""
    heap = yield task.mmap(8 * MiB)
    yield task.touch(heap, uniform(), accesses=200_000, write=0.5, compute="200ns")


# %% [markdown]
# ## A machine
# A real machine with its measured latencies, scaled to 16 MiB a node, and two swap devices: the one with the higher
# priority is used first.


# %%
def two_nodes(numa_fallback):
    """Build the machine, booted, with both programs pinned to one CPU of each node."""
    machine = Machine.of(
        preset="xeon-platinum-8269cy-2s",
        memory_per_node="16MiB",
        cpus_per_node=1,
        swap=[
            {"device": "nvme", "size": 8 * MiB, "priority": 10},
            {"device": "sata-ssd", "size": 64 * MiB, "priority": 5},
        ],
        kernel={"numa_fallback": numa_fallback},
        run={"seed": 7, "sample": "2ms"},
    )
    machine.add(hog, cpus=[0])
    machine.add(neighbour, cpus=[1])
    return machine


machine = two_nodes("nearest")
machine

# %% [markdown]
# ## A run

# %%
run = Run.of(machine.run_to_end())
run

# %% [markdown]
# ## Frames
# One row per sample and node; `swap_series` and `cpu_series` are there too.  Counters have the kernel's names and count
# from boot.

# %%
frame = run.to_pandas()
frame[["t_ns", "node", "free_pages", "numa_hit", "numa_miss", "pgmajfault", "pswpout", "mean_latency_ns"]].tail()

# %% [markdown]
# Where the time of each task went, in ms; the parts sum to its run time exactly.

# %%
parts = pd.DataFrame({task["name"]: task["parts_ns"] for task in run.summary["tasks"]}) / 1e6
assert [int(t["run_ns"]) for t in run.summary["tasks"]] == [sum(t["parts_ns"].values()) for t in run.summary["tasks"]]
parts[parts.any(axis=1)].round(3)

# %% [markdown]
# ## Pictures

# %%
run.plot()

# %% [markdown]
# ## An experiment
# Linux 2.4 really tried each node in turn, reclaim and swap included, before it looked at the next (`strict24`).  What
# would "nearest node first, reclaim last" have changed?

# %%
runs = {way: Run.of(two_nodes(way).run_to_end()) for way in ("strict24", "nearest")}
pd.DataFrame.from_dict(
    {
        way: {
            "run time of hog, ms": result.summary["tasks"][0]["run_ns"] / 1e6,
            "major faults": result.summary["totals"]["vmstat"]["pgmajfault"],
            "pages on the other node": result.summary["totals"]["vmstat"]["numa_miss"],
            "pages swapped out": result.summary["totals"]["vmstat"]["pswpout"],
        }
        for way, result in runs.items()
    },
    orient="index",
)
