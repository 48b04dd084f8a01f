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
# # Anatomy of one page fault
# One program writes one page.  We stop the machine before and after, and look at everything that changed: the page
# tables, the free lists, the counters, the clock.  Then memory gets short, the page goes to disk, and we follow it
# back.

# %%
import pandas as pd

from numa_sim import Machine, MiB, Run, sequential
from numa_sim.observe.walk import walk

# %% [markdown]
# ## A machine that we can stop
# Two nodes of 8 MiB, one CPU each, a fast disk for swap.  Read-ahead is off, so that one fault brings one page.
# `record_events` and `timeline` write down what happens; they change nothing.

# %%
machine = Machine.of(
    nodes=[{"memory": "8MiB", "cpus": "0"}, {"memory": "8MiB", "cpus": "1"}],
    distances=[[10, 21], [21, 10]],
    swap=[{"device": "nvme", "size": "32MiB"}],
    kernel={"switches": {"readahead": False}},
    run={"record_events": 100_000, "timeline": True, "sample": "1ms"},
)
seen = {}


def program(task):
    """Write one page, sleep, fill memory with others, and write the first page again."""
    page = yield task.mmap(4096)
    seen["address"] = page.start_vpn * 4096
    yield task.sleep("1ms")
    yield task.touch(page, sequential(), accesses=1, write=1.0)
    yield task.sleep("1ms")
    heap = yield task.mmap(20 * MiB)
    yield task.touch(heap, sequential(), write=1.0)
    yield task.sleep("1ms")
    seen["again_ns"] = machine.now_ns
    yield task.touch(page, sequential(), accesses=1, write=1.0)
    seen["back_ns"] = machine.now_ns


task = machine.add(program, cpus=[0])
machine

# %% [markdown]
# ## Before
# `mmap` returned an address, and that is all it did: an area in a list.  A walk through the page tables stops at
# once, or a level further if the stack already needed a table there.


# %%
def look():
    """The walk of the page's address, its node's free lists, and the task's fault counters, now."""
    row = task.record
    way = walk(machine.kernel, int(row.mm), int(seen["address"]))
    free = [int(zone.free_pages) for zone in machine.kernel.zones if zone.size]
    return way, free, (int(row.min_flt), int(row.maj_flt))


machine.run_until(500_000)
before, free_before, faults_before = look()
print(machine.procfs("program/maps"))
print(before)
assert before.paddr is None, "nothing is there yet"

# %% [markdown]
# ## The fault
# At 1 ms the program writes.  The MMU finds no entry and traps; the kernel finds the area, takes a page (and, where
# they were missing, page tables) from the buddy allocator of the CPU's own node, clears it, and sets the entry.  Then
# the instruction runs again, and the hardware sets *accessed* and *dirty*.

# %%
machine.run_until(1_500_000)
after, free_after, faults_after = look()
print(after)
taken = [a - b for a, b in zip(free_before, free_after, strict=True)]
print("pages taken from each zone:", taken, "  minor, major faults:", faults_before, "->", faults_after)
assert after.paddr is not None
assert faults_after == (faults_before[0] + 1, faults_before[1])
assert taken[0] >= 1
assert sum(taken[1:]) == 0, "all of them near the CPU"

# %% [markdown]
# The buddy allocator splits a large block for a single page; the halves stay on the lists of lower orders.

# %%
print(machine.procfs("buddyinfo"))

# %% [markdown]
# ## To the disk and back
# The program now writes 20 MiB on a machine of 16.  `swap_out` finds that our page has not been used, takes its frame
# away, and leaves the number of a swap slot in the page-table entry.

# %%
while "again_ns" not in seen:
    machine.step()
gone, _, _ = look()
print(gone)
assert "swap area" in str(gone)

# %% [markdown]
# Written again, it is a *major* fault: the kernel takes a frame, reads the slot, and the task sleeps until the disk is
# done.

# %%
run = Run.of(machine.run_to_end())
spans = run.to_pandas("spans")
during = spans[(spans.begin_ns < seen["back_ns"]) & (spans.end_ns > seen["again_ns"])]
during = during[during.kind != "running"].assign(us=(during.end_ns - during.begin_ns) / 1e3)
assert "major_fault" in set(during.kind)
during[["kind", "begin_ns", "us", "cpu", "disk", "pages", "detail"]]

# %% [markdown]
# ## Where the time went
# Every nanosecond of a task's life belongs to one part; they sum to its run time.

# %%
[summary] = run.summary["tasks"]
assert summary["maj_flt"] >= 1
assert sum(summary["parts_ns"].values()) == summary["run_ns"]
parts = pd.Series(summary["parts_ns"]) / 1e3
parts[parts > 0].rename("µs").round(1).to_frame()

# %% [markdown]
# How long a minor fault costs a CPU is a guess (`[costs]`), and says so: see *validity* in the documentation.  How long
# the disk takes is measured.  That the page came back with what was written into it is checked: every page carries a
# tag of its contents.
