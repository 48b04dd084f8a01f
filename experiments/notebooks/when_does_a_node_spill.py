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
# # When does a node spill?
# A program pinned to one CPU uses more memory than its node has.  From where on does it get pages elsewhere, how far
# away are they, and what do they cost?

# %%
import pandas as pd

from numa_sim import Machine, MiB, Run, sequential, uniform

# %% [markdown]
# Eight nodes of a four-socket Opteron, scaled to 16 MiB each.  Latencies and distances are the real machine's.

# %%
PRESET = {"preset": "opteron-6134-4s", "memory_per_node": "16MiB", "cpus_per_node": 1}


def used(size_mib):
    """Run a program that writes `size_mib` once and then reads it at random, on node 0."""

    def program(task):
        heap = yield task.mmap(size_mib * MiB)
        yield task.touch(heap, sequential(), write=1.0)
        yield task.touch(heap, uniform(), accesses=100_000)

    machine = Machine.of(**PRESET, kernel={"numa_fallback": "nearest"}, run={"sample": "1ms"})
    machine.add(program, cpus=[0])
    return Run.of(machine.run_to_end())


runs = {size: used(size) for size in (8, 12, 14, 16, 20, 28, 40)}
runs[8].plot.topology()

# %% [markdown]
# ## The point of spilling
# `numa_hit` counts pages that came from the node asked for, `numa_miss` those another node gave.  Node 0 has 16 MiB,
# but the kernel's image and `mem_map` take some, and below the watermark *low* the allocator looks at the next node
# first.

# %%
table = pd.DataFrame(
    {
        size: {
            "hit": run.summary["totals"]["vmstat"]["numa_hit"],
            "miss": run.summary["totals"]["vmstat"]["numa_miss"],
            "nodes used": sum(node["vmstat"]["pgalloc"] > 100 for node in run.summary["nodes"]),
            "mean latency, ns": run.summary["totals"]["mean_latency_ns"],
        }
        for size, run in runs.items()
    }
).T.rename_axis("heap, MiB")
table.convert_dtypes()

# %%
assert table.loc[8, "miss"] == table.loc[12, "miss"] == 0, "what fits stays at home"
assert table.loc[16, "miss"] > 0, "a node's memory is not all for programs"
assert table["mean latency, ns"].is_monotonic_increasing

# %% [markdown]
# Node 0 is never emptied: the allocator turns to the next node when the pages left come to the watermark *low*.

# %%
spilled = runs[40].summary
frame = runs[40].to_pandas()
least = int(frame[frame.node == 0].free_pages.min())
marks = next(mark for mark in spilled["watermarks"] if mark["node"] == 0)
print(f"least free on node 0: {least} pages; its watermarks: {marks}")
assert abs(least - marks["low"]) <= 1
runs[40].plot.node_fill()

# %% [markdown]
# ## Which node comes next
# The zonelist of node 0, nearest first.  With 40 MiB three nodes are used, in just that order.

# %%
machine = Machine.of(**PRESET, kernel={"numa_fallback": "nearest"})
print("\n".join(machine.procfs("zonelists").splitlines()[:4]))
used_nodes = [node["node"] for node in spilled["nodes"] if node["accesses_served"] > 0]
assert used_nodes == [0, 1, 2]

# %% [markdown]
# ## What it costs
# The mean latency of random reads is that of the mixture: each node's latency, weighted by its share of the accesses.

# %%
pairs = pd.DataFrame(spilled["pairs"]).query("cpu_node == 0 and accesses > 0")
mixture = (pairs.accesses * pairs.mean_latency_ns).sum() / pairs.accesses.sum()
assert abs(mixture - spilled["totals"]["mean_latency_ns"]) < 0.01
pairs[["memory_node", "accesses", "mean_latency_ns"]]

# %% [markdown]
# Linux 2.4 itself would have gone by node *numbers* and searched in vain at home for every page (`strict24`); that is
# the subject of `configs/fill-and-spill.toml`.
