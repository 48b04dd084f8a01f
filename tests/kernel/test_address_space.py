"""Random address spaces: every index gives the areas of a dictionary of pages, with the tables they need."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from numa_sim.compiled import entry
from numa_sim.kernel import brk, memory, mlock, mmap, mprotect, mremap, munmap, pgtable
from numa_sim.kernel.debug_vm import check_frames, check_zones
from numa_sim.kernel.vma_index import areas
from numa_sim.kernel.vma_index.rbtree import BLACK, RED
from numa_sim.processes.machine import Machine
from numa_sim.state.answers import ENOMEM, FAULT_MINOR, FAULT_SEGV
from numa_sim.state.constants import (
    KERNEL_2_2,
    KERNEL_2_4_0,
    KERNEL_2_4_37,
    MAP_FIXED,
    MAP_PRIVATE,
    MREMAP_FIXED,
    MREMAP_MAYMOVE,
    NIL,
    PAGE_SHIFT,
    TASK_RUNNING,
    VM_LOCKED,
    VM_WRITE,
    VMA_AVL,
    VMA_LIST,
    VMA_RBTREE,
    VMA_VMACACHE,
)
from numa_sim.state.kernel import Kernel

TASK = 2
BASE = 0x8000
"""Where the random calls work: page numbers from here on."""
SPAN = 3000
PROTS = (0, 1, 3, 5, 7)
INDEXES = (VMA_LIST, VMA_AVL, VMA_RBTREE, VMA_VMACACHE)

_fault = entry(memory.handle_mm_fault)
_leaf_row = entry(pgtable.leaf_row)
_do_mmap = entry(mmap.do_mmap_pgoff)
_munmap = entry(munmap.sys_munmap)
_brk = entry(brk.sys_brk)
_mprotect = entry(mprotect.sys_mprotect)
_mlock = entry(mlock.sys_mlock)
_munlock = entry(mlock.sys_munlock)
_mremap = entry(mremap.sys_mremap)
_find_vma = entry(areas.find_vma)
_find_vma_prev = entry(areas.find_vma_prev)
_check_frames = entry(check_frames)
_check_zones = entry(check_zones)


def boot(index: int, rules: int) -> Kernel:
    machine = Machine.of(nodes=[{"memory": "16MiB", "cpus": "0"}], distances=[[10]], arch="i386")
    k = machine.kernel
    k.vm[0].vma_index, k.vm[0].vma_rules = index, rules
    k.tasks[TASK].state, k.tasks[TASK].root = TASK_RUNNING, 1
    machine.enter_kernel(TASK, 0)
    mm = k.mms[mmap.mm_alloc(k, TASK)]
    mm.end_code = mm.start_data = mm.brk = (BASE + SPAN) << PAGE_SHIFT
    return k


def area_list(k: Kernel) -> list[int]:
    found, vma = [], int(k.mms[k.tasks[TASK].mm].mmap)
    while vma != NIL:
        found.append(vma)
        vma = int(k.vmas[vma].vm_next)
    return found


def check_tree(k: Kernel, node: int) -> tuple[list[int], int]:
    """Areas of the subtree in order, and its height (AVL) or the black nodes on every way down (red-black)."""
    if node == NIL:
        return [], 0
    area = k.vmas[node]
    left, left_rank = check_tree(k, int(area.vm_left))
    right, right_rank = check_tree(k, int(area.vm_right))
    for child in (int(area.vm_left), int(area.vm_right)):
        assert child == NIL or k.vmas[child].vm_parent == node
    if k.vm[0].vma_index == VMA_AVL:
        assert abs(left_rank - right_rank) <= 1
        assert area.vm_rank == 1 + max(left_rank, right_rank)
        return [*left, node, *right], int(area.vm_rank)
    assert left_rank == right_rank
    children = [int(c) for c in (area.vm_left, area.vm_right) if c != NIL]
    if area.vm_rank == RED:
        assert all(k.vmas[c].vm_rank == BLACK for c in children), "a red node has no red child"
    return [*left, node, *right], left_rank + int(area.vm_rank == BLACK)


class AddressSpaces(RuleBasedStateMachine):
    """The same calls on one machine per index; `pages`: what may be done with each page, and whether it is locked."""

    RULES = KERNEL_2_4_37

    @initialize()
    def start(self) -> None:
        self.kernels = [boot(index, self.RULES) for index in INDEXES]
        self.pages: dict[int, tuple[int, bool]] = {}
        self.touched: set[int] = set()
        self.brk = BASE + SPAN

    def all(self, call: Any, *args: int) -> int:
        """The answer, which is the same on every machine."""
        answers = {int(call(k, TASK, *args)) for k in self.kernels}
        assert len(answers) == 1, answers
        return answers.pop()

    def forget(self, start: int, n: int) -> None:
        for vpn in range(start, start + n):
            self.pages.pop(vpn, None)
            self.touched.discard(vpn)

    places = (st.integers(0, SPAN - 200), st.integers(1, 200))

    @rule(place=st.tuples(*places), prot=st.sampled_from(PROTS))
    def mmap(self, place: tuple[int, int], prot: int) -> None:
        start, n = BASE + place[0], place[1]
        at = self.all(_do_mmap, 0, start << PAGE_SHIFT, n << PAGE_SHIFT, prot, MAP_FIXED | MAP_PRIVATE, 0)
        assert at == start << PAGE_SHIFT
        self.forget(start, n)
        self.pages.update(dict.fromkeys(range(start, start + n), (prot, False)))

    @rule(place=st.tuples(*places))
    def munmap(self, place: tuple[int, int]) -> None:
        start, n = BASE + place[0], place[1]
        assert self.all(_munmap, start << PAGE_SHIFT, n << PAGE_SHIFT) == 0
        self.forget(start, n)

    @rule(n=st.integers(0, 100))
    def set_brk(self, n: int) -> None:
        new, low, high = BASE + SPAN + n, BASE + SPAN, self.brk
        # the page behind the new end must be free, too, when the heap grows
        blocked = n + low > high and any(vpn in self.pages for vpn in range(high, new + 1))
        answer = self.all(_brk, new << PAGE_SHIFT)
        assert answer == (high if blocked else new) << PAGE_SHIFT
        if not blocked:
            self.forget(new, high - new)
            self.pages.update(dict.fromkeys(range(high, new), (7, False)))
            self.brk = new

    def reach(self, start: int, n: int) -> int:
        """First page of the range that is not mapped, or its end."""
        return next((vpn for vpn in range(start, start + n) if vpn not in self.pages), start + n)

    @rule(place=st.tuples(*places), prot=st.sampled_from(PROTS))
    def mprotect(self, place: tuple[int, int], prot: int) -> None:
        start, n = BASE + place[0], place[1]
        end = self.reach(start, n)
        answer = self.all(_mprotect, start << PAGE_SHIFT, n << PAGE_SHIFT, prot)
        assert answer == (0 if end == start + n else -ENOMEM)
        self.pages.update({vpn: (prot, self.pages[vpn][1]) for vpn in range(start, end)})

    @rule(place=st.tuples(*places), lock=st.booleans())
    def mlock(self, place: tuple[int, int], lock: bool) -> None:
        start, n = BASE + place[0], place[1]
        end = self.reach(start, n)
        answer = self.all(_mlock if lock else _munlock, start << PAGE_SHIFT, n << PAGE_SHIFT)
        assert answer == (0 if end == start + n else -ENOMEM)
        self.pages.update({vpn: (self.pages[vpn][0], lock) for vpn in range(start, end)})

    @rule(place=st.tuples(*places), new=st.integers(1, 200), to=st.integers(0, SPAN - 200))
    def mremap(self, place: tuple[int, int], new: int, to: int) -> None:
        start, n, target = BASE + place[0], place[1], BASE + to
        if self.reach(start, n) != start + n or (target < start + n and start < target + new):
            return
        if len({self.pages[vpn] for vpn in range(start, start + n)}) > 1:
            return  # several areas
        kept = min(n, new)
        kind = self.pages[start]
        touched = {vpn - start + target for vpn in self.touched if start <= vpn < start + kept}
        flags = MREMAP_MAYMOVE | MREMAP_FIXED
        answer = self.all(_mremap, start << PAGE_SHIFT, n << PAGE_SHIFT, new << PAGE_SHIFT, flags, target << PAGE_SHIFT)
        self.forget(target, new)
        if answer < 0:
            # neighbours of the same kind that never merged: the range is not within one area
            self.forget(start + kept, n - kept)
            return
        assert answer == target << PAGE_SHIFT
        self.forget(start, n)
        self.pages.update(dict.fromkeys(range(target, target + new), kind))
        self.touched |= touched

    @rule(place=st.tuples(*places))
    def touch(self, place: tuple[int, int]) -> None:
        for vpn in range(BASE + place[0], BASE + place[0] + min(place[1], 30)):
            writable = vpn in self.pages and self.pages[vpn][0] & VM_WRITE
            expected = FAULT_MINOR if writable else FAULT_SEGV
            assert self.all(_fault, vpn, 1) == expected
            if writable:
                self.touched.add(vpn)

    @rule(place=st.tuples(*places))
    def find(self, place: tuple[int, int]) -> None:
        vpn = BASE + place[0]
        starts = set()
        for k in self.kernels:
            mm = int(k.tasks[TASK].mm)
            found = int(_find_vma(k, mm, vpn))
            with_prev, before = (int(x) for x in _find_vma_prev(k, mm, vpn))
            assert found == with_prev
            in_order = area_list(k)
            assert found == next((a for a in in_order if k.vmas[a].vm_end > vpn), NIL)
            if found != NIL:
                assert before == ([NIL, *in_order][in_order.index(found)])
            starts.add(NIL if found == NIL else int(k.vmas[found].vm_start))
        assert len(starts) == 1

    @invariant()
    def areas_are_those_of_the_model(self) -> None:
        shapes = []
        for k in self.kernels:
            mm, shape = k.mms[k.tasks[TASK].mm], []
            mapped: dict[int, tuple[int, bool]] = {}
            last = 0
            for vma in area_list(k):
                area = k.vmas[vma]
                start, end, flags = int(area.vm_start), int(area.vm_end), int(area.vm_flags)
                assert last <= start < end, "in order, not overlapping, not empty"
                assert area.vm_mm == k.tasks[TASK].mm
                last = end
                mapped.update(dict.fromkeys(range(start, end), (flags & 7, flags & VM_LOCKED != 0)))
                shape.append((start, end, flags))
            shapes.append(shape)
            assert mapped == self.pages
            assert mm.map_count == len(shape)
            assert mm.total_vm == len(self.pages)
            assert mm.locked_vm == sum(locked for _, locked in self.pages.values())
        assert all(shape == shapes[0] for shape in shapes), "every index, the same areas"

    @invariant()
    def trees_are_balanced(self) -> None:
        for k in self.kernels:
            root = int(k.mms[k.tasks[TASK].mm].mm_rb)
            if root != NIL:
                assert k.vmas[root].vm_parent == NIL
                assert check_tree(k, root)[0] == area_list(k)
            elif k.vm[0].vma_index in (VMA_RBTREE, VMA_VMACACHE):
                assert not area_list(k)

    @invariant()
    def pages_and_tables_lie_within_areas(self) -> None:
        for k in self.kernels:
            mm = int(k.tasks[TASK].mm)
            assert k.mms[mm].rss == len(self.touched)
            slots = {vpn >> 10 for vpn in self.pages}
            for slot in range(BASE >> 10, (BASE + SPAN + 200 >> 10) + 1):
                assert _leaf_row(k, mm, slot << 10) == NIL or slot in slots, "a table in a slot without areas"
            assert _check_zones(k) == (0, 0)

    def teardown(self) -> None:
        for k in getattr(self, "kernels", ()):
            assert _check_frames(k) == (0, 0)
            free = int(k.zones["free_pages"].sum())
            in_use = int(k.mms[k.tasks[TASK].mm].nr_tables + k.mms[k.tasks[TASK].mm].rss)
            mmap.mmput(k, TASK)
            assert int(k.zones["free_pages"].sum()) == free + in_use


class AddressSpaces22(AddressSpaces):
    RULES = KERNEL_2_2


class AddressSpaces240(AddressSpaces):
    RULES = KERNEL_2_4_0


TestLate = pytest.mark.row("S1-33", "S3-051", "S3-063", "S0-24", "S4-09")(AddressSpaces.TestCase)
TestLinux22 = AddressSpaces22.TestCase
TestLinux240 = AddressSpaces240.TestCase
TestLate.settings = TestLinux22.settings = TestLinux240.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None
)
