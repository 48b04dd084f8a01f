"""Random families of processes, short of memory: mmap, brk, mprotect, munmap, touch, fork, vfork, clone, exec, wait.

Every process keeps a shadow of what its pages must contain, made from its own accesses and from what it inherited; it
is compared with the page tables, the swap cache and the disk at every step.  After the last exit nothing is left.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from machine.small import PAGE, Program, finish, free_pages, small
from machine.test_invariants import contents

from numa_sim.compiled import entry
from numa_sim.hardware.loop import stored
from numa_sim.kernel.exec import MAX_ARG_PAGES
from numa_sim.observe.hashes import event_hash
from numa_sim.processes.machine import Machine
from numa_sim.state.constants import NIL
from numa_sim.workloads.patterns import from_arrays
from numa_sim.workloads.program import Region

pytestmark = pytest.mark.row("S3-021", "X-11")

_stored = entry(stored)
INDEXES = ("list", "avl", "rbtree", "vmacache")
MAX_TASKS = 40
REGION_PAGES = 300

Step = tuple[str, int, int]
DEEDS = (
    "touch", "touch", "map", "grow", "seal", "seal", "unmap", "fork", "fork", "vfork", "clone", "exec", "wait", "sleep",
)  # fmt: skip
STEPS = st.lists(
    st.tuples(st.sampled_from(DEEDS), st.integers(0, 5), st.integers(0, 299)),
    min_size=4,
    max_size=14,
)


@dataclass
class Memory:
    """What an address space must contain: threads have it in common, forked children a copy of it.

    A vforked child has its parent's as well; but until it execs or ends the parent sleeps, so that who writes is known.
    """

    regions: list[Any] = field(default_factory=list)
    tags: dict[int, int] = field(default_factory=dict)
    sealed: set[int] = field(default_factory=set)
    """First pages of regions a part of which is read-only."""
    users: int = 1

    def copy(self) -> Memory:
        return Memory(list(self.regions), dict(self.tags), set(self.sealed))


def family(machine: Machine, memory: Memory, steps: list[Step], depth: int) -> Any:
    """A program that does `steps`, and whose children do what is left of them."""

    def program(task: Any) -> Program:
        for number, (what, which, page) in enumerate(steps):
            rest = steps[number + 1 :]
            if what == "map":
                memory.regions.append((yield task.mmap(REGION_PAGES * PAGE)))
            elif what == "grow" and memory.users == 1:
                start = (yield task.sbrk()) // PAGE
                assert (yield task.sbrk(REGION_PAGES * PAGE)) == (start + REGION_PAGES) * PAGE
                memory.regions.append(Region(start, REGION_PAGES))
            elif what == "seal" and memory.regions and memory.users == 1:
                region = memory.regions[which % len(memory.regions)]
                yield task.mprotect(region, "r--", offset=page // 2 * PAGE, length=100 * PAGE)
                memory.sealed.add(region.start_vpn)
            elif what == "unmap" and memory.regions and memory.users == 1:
                region = memory.regions.pop(which % len(memory.regions))
                yield task.munmap(region)
                memory.sealed.discard(region.start_vpn)
                for vpn in range(region.start_vpn, region.end_vpn):
                    memory.tags.pop(vpn, None)
            elif what == "touch" and memory.regions and memory.users == 1:
                region = memory.regions[which % len(memory.regions)]
                if region.start_vpn in memory.sealed:
                    memory.sealed.remove(region.start_vpn)
                    yield task.mprotect(region, "rw-")
                visits = (np.arange(200) * (which + 1) + page) % REGION_PAGES
                yield task.touch(region, from_arrays(visits, writes=1))
                for vpn in (region.start_vpn + visits).tolist():
                    memory.tags[vpn] = _stored(memory.tags.get(vpn, 0), vpn)
            elif what == "fork" and depth < 4:
                yield from quietly(task.fork(family(machine, memory.copy(), rest, depth + 1)))
            elif what == "clone" and depth < 4:
                memory.users += 1  # from now on who writes when is not known
                yield from quietly(task.clone(family(machine, memory, rest, depth + 1)))
            elif what == "vfork" and depth < 4:
                yield from quietly(task.vfork(family(machine, memory, rest, depth + 1)))
            elif what == "exec":
                program = family(machine, Memory(), [("map", 0, 0), *rest], depth)
                # Nothing else here is done if this succeeds; one page more than there may be: E2BIG, and on it goes.
                yield from quietly(task.exec(program, arguments=page % (MAX_ARG_PAGES + 2) * PAGE))
            elif what == "wait":
                yield from quietly(task.wait())
            elif what == "sleep":
                yield task.sleep(1000 * page)
            if memory.users == 1:
                index = next(one.index for one in machine.tasks if one.record.pid == task.pid)
                found = contents(machine, index)
                assert {vpn: found.get(vpn, 0) for vpn in memory.tags} == memory.tags

    return program


def quietly(operation: Any) -> Any:
    """An operation that may fail: EAGAIN, ENOMEM, ECHILD."""
    with suppress(OSError):
        yield operation


@pytest.mark.parametrize("profile", ["linux-2.2", "linux-2.4.0", "linux-2.4.22", "linux-2.4.37"])
@pytest.mark.parametrize("rmap", [False, True], ids=["plain", "rmap"])
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(steps=STEPS, cpus=st.sampled_from(("0", "0-2")), index=st.sampled_from(INDEXES))
def test_nobody_sees_anothers_writes_and_nothing_is_left(
    profile: str, rmap: bool, steps: list[Step], cpus: str, index: str
) -> None:
    kernel = {"profile": profile, "max_tasks": MAX_TASKS, "rmap": rmap, "vma_index": index}
    machine = small((6,), (cpus,), kernel=kernel, run={"check": "full"})
    before = free_pages(machine)
    machine.add(family(machine, Memory(), [("map", 0, 0), ("touch", 0, 0), *steps], 0))
    finish(machine)
    k = machine.kernel
    assert not k.mms.used[1:].any()
    assert not k.mms.rss.any()
    assert (k.tasks.mm == NIL).all()
    slots = k.swap_map < 0x8000
    cached = k.swap_cache != 0
    assert (k.swap_map[slots] == cached[slots]).all()
    assert free_pages(machine) == before - int(cached.sum())


@settings(max_examples=12, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate, Phase.shrink])
@given(steps=STEPS, profile=st.sampled_from(("linux-2.2", "linux-2.4.0", "linux-2.4.37")))
def test_list_avl_and_red_black_tree_give_the_same_family(steps: list[Step], profile: str) -> None:
    hashes = set()
    for index in INDEXES:
        kernel = {"profile": profile, "max_tasks": MAX_TASKS, "vma_index": index}
        machine = small((6,), ("0-1",), kernel=kernel, costs={"find_vma_step": "0ns"})
        machine.add(family(machine, Memory(), [("map", 0, 0), ("seal", 0, 100), ("touch", 0, 0), *steps], 0))
        finish(machine)
        hashes.add(event_hash(machine.kernel))
    assert len(hashes) == 1
