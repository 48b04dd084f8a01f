"""Replay of recorded address spaces of 2.2.1, 2.4.0 and 2.4.37 (golden subject vma)."""

from typing import Any

import pytest
from golden_traces import Command, replay

from numa_sim.compiled import entry
from numa_sim.kernel import brk, mmap, munmap, stack
from numa_sim.kernel.file_table import open_file
from numa_sim.kernel.user_space import task_size
from numa_sim.kernel.vma_index import areas
from numa_sim.state.constants import (
    FMODE_READ,
    FMODE_WRITE,
    KERNEL_2_2,
    KERNEL_2_4_0,
    KERNEL_2_4_37,
    MAP_SHARED,
    NIL,
    PAGE_SHIFT,
    PAGE_SIZE,
    RLIM_INFINITY,
    VM_GROWSDOWN,
    VMA_AVL,
    VMA_LIST,
    VMA_RBTREE,
    VMA_VMACACHE,
)
from numa_sim.state.event_codes import EV_CLEAR_PAGE_TABLES, EV_MAKE_PAGES_PRESENT, EV_MUNMAP
from numa_sim.state.kernel import Sizes, new_kernel

TASK = 2
MODES = (FMODE_READ | FMODE_WRITE, FMODE_READ, FMODE_READ | FMODE_WRITE, FMODE_WRITE)
FIRST_SHARED = 100
UNLIMITED_32 = 0xFFFFFFFF

_do_mmap = entry(mmap.do_mmap_pgoff)
_do_brk = entry(brk.do_brk)
_sys_brk = entry(brk.sys_brk)
_sys_munmap = entry(munmap.sys_munmap)
_find_vma = entry(areas.find_vma)
_find_vma_prev = entry(areas.find_vma_prev)
_expand_stack = entry(stack.expand_stack)
_find_extend_vma = entry(stack.find_extend_vma)


class AddressSpace:
    """One address space of an i386 machine without memory: page tables and pages are only told of."""

    def __init__(self, init: Command, rules: int, index: int) -> None:
        args = init.args
        k = self.k = new_kernel(
            Sizes(
                nodes=1, cpus=1, frames=16, tasks=2, mms=2, vmas=600, tables=4, table_entries=1024, mappings=400,
                files=400, events=4096,
            )
        )  # fmt: skip
        vm = k.vm[0]
        vm.levels, vm.entry_bits, vm.task_size_vpn = 2, 10, 0xC0000
        vm.vma_rules, vm.vma_index, vm.max_map_count = rules, index, args["max_map_count"]
        vm.record_events = 1
        k.zones[0].free_pages = args["free_pages"]
        self.mm = mmap.mm_alloc(k, TASK)
        space = k.mms[self.mm]
        space.end_code, space.start_data, space.brk = args["end_code"], args["start_data"], args["brk"]
        k.tasks[TASK].rlim_stack = args["rlimit_stack"]
        k.tasks[TASK].rlim_as = k.tasks[TASK].rlim_memlock = UNLIMITED_32
        k.tasks[TASK].rlim_data = RLIM_INFINITY
        self.files = [open_file(k, self._file_mapping(m), mode) for m, mode in enumerate(MODES)]
        self.shared: dict[int, int] = {}
        self.shared_made = 0

    def _file_mapping(self, number: int) -> int:
        self.k.mappings[2 + number].kind = 2
        return 2 + number

    # What the trace asks ---------------------------------------------------------------------------------------------

    def run(self, command: Command) -> Any:
        k, args = self.k, command.args
        if command.op == "mmap":
            return self._mmap(args)
        if command.op == "set":
            for name, value in args.items():
                self._set(name, value)
            return None
        if command.op in ("find_vma", "find_vma_prev"):
            if command.op == "find_vma":
                return self.start_of(_find_vma(k, self.mm, args["addr"] >> PAGE_SHIFT))
            return [self.start_of(vma) for vma in _find_vma_prev(k, self.mm, args["addr"] >> PAGE_SHIFT)]
        if command.op == "find_extend_vma":
            return self.start_of(_find_extend_vma(k, TASK, args["addr"] >> PAGE_SHIFT))
        if command.op == "fault_extend":
            return self._fault_extend(args["addr"] >> PAGE_SHIFT)
        if command.op == "brk":
            return int(_sys_brk(k, TASK, args["addr"]))
        rule = _sys_munmap if command.op == "munmap" else _do_brk
        answer = int(rule(k, TASK, args["addr"], args["len"]))
        return min(answer, 0)

    def _mmap(self, args: dict[str, Any]) -> int:
        file = 0 if args["file"] is None else self.files[args["file"]]
        answer = int(
            _do_mmap(self.k, TASK, file, args["addr"], args["len"], args["prot"], args["flags"], args["pgoff"])
        )
        if file == 0 and args["flags"] & MAP_SHARED and answer >= 0 and 0 < args["len"] <= UNLIMITED_32 - PAGE_SIZE + 1:
            vma = int(_find_vma_prev(self.k, self.mm, answer >> PAGE_SHIFT)[0])
            self.shared[int(self.k.vmas[vma].vm_file)] = FIRST_SHARED + self.shared_made
            self.shared_made += 1
        return answer

    def _set(self, name: str, value: int) -> None:
        if name == "free_pages":
            self.k.zones[0].free_pages = value
        elif name == "def_flags":
            self.k.mms[self.mm].def_flags = value
        else:
            setattr(self.k.tasks[TASK], name.replace("rlimit", "rlim"), value)

    def _fault_extend(self, vpn: int) -> int | None:
        vma = int(_find_vma(self.k, self.mm, vpn))
        if vma == NIL or self.k.vmas[vma].vm_start <= vpn or not self.k.vmas[vma].vm_flags & VM_GROWSDOWN:
            return None
        return int(_expand_stack(self.k, TASK, vma, vpn))

    # What it shows ---------------------------------------------------------------------------------------------------

    def start_of(self, vma: int) -> int | None:
        return None if vma == NIL else int(self.k.vmas[vma].vm_start) << PAGE_SHIFT

    def areas(self) -> list[list[Any]]:
        shown = []
        vma = int(self.k.mms[self.mm].mmap)
        while vma != NIL:
            area = self.k.vmas[vma]
            start, end = int(area.vm_start) << PAGE_SHIFT, int(area.vm_end) << PAGE_SHIFT
            number = int(area.vm_file)
            file = None if number == 0 else self.shared.get(number)
            file = self.files.index(number) if number in self.files else file
            shown.append([start, end, int(area.vm_flags), int(area.vm_pgoff), file])
            vma = int(area.vm_next)
        return shown

    def effects(self) -> dict[str, list[list[int]]]:
        found: dict[str, list[list[int]]] = {"zap": [], "clear_page_tables": [], "make_present": []}
        for event in self.k.events[: int(self.k.vm[0].events_used)]:
            a, b = int(event.a), int(event.b)
            if event.code == EV_MUNMAP:
                found["zap"].append([a << PAGE_SHIFT, b << PAGE_SHIFT])
            elif event.code == EV_CLEAR_PAGE_TABLES:
                found["clear_page_tables"].append([a, b])
            elif event.code == EV_MAKE_PAGES_PRESENT:
                found["make_present"].append([a << PAGE_SHIFT, b << PAGE_SHIFT])
        self.k.vm[0].events_used = 0
        return found

    def state(self, shown: dict[str, Any], compare_index: bool) -> dict[str, Any]:
        space = self.k.mms[self.mm]
        ours: dict[str, Any] = {name: int(space[name]) for name in ("map_count", "total_vm", "locked_vm", "brk")}
        if compare_index:
            ours["cache"] = self.start_of(int(space.mmap_cache))
            ours["avl"] = bool(space.mm_rb != NIL)
        if "vmas" in shown:
            ours["vmas"] = self.areas()
        if "files" in shown:
            files = [self.k.files[number] for number in self.files]
            ours["files"] = [[int(f.f_count), int(self.k.mappings[f.f_mapping].i_writecount)] for f in files]
        return ours


def _replay(kernel: str, rules: int, index: int, compare_index: bool) -> int:
    def start(init: Command) -> Any:
        space = AddressSpace(init, rules, index)

        def step(command: Command) -> None:
            if command.op != "init":
                if command.op == "find_vma_prev" and not compare_index:
                    return
                command.check("result", space.run(command), command.result)
            golden_effects = command.record.get("effects") or {"zap": [], "clear_page_tables": [], "make_present": []}
            command.check("effects", space.effects(), golden_effects)
            ours = space.state(command.state, compare_index)
            for name, value in ours.items():
                if name in command.state:
                    command.check(name, value, command.state[name])

        return step

    return replay("vma", start, kernel)


@pytest.mark.row(
    "S0-22", "S0-34", "S0-39", "S3-050", "S3-051", "S3-052", "S3-055", "S3-056", "S3-064", "S3-066", "S3-069",
    "S3-090", "S3-153", "S3-156", "S3-157", "S3-158", "S3-159", "S3-160", "S3-162", "S3-163", "S3-164", "S3-165",
    "S3-166", "S3-167", "S3-169", "S3-170", "S3-171", "S3-176", "S3-177",
)  # fmt: skip
@pytest.mark.parametrize(
    ("kernel", "rules", "index"),
    [("2.2.1", KERNEL_2_2, VMA_AVL), ("2.4.0", KERNEL_2_4_0, VMA_AVL), ("2.4.37", KERNEL_2_4_37, VMA_RBTREE)],
)
def test_address_spaces_are_those_of_the_original(kernel: str, rules: int, index: int) -> None:
    assert _replay(kernel, rules, index, compare_index=True) > 0


@pytest.mark.parametrize("index", [VMA_LIST, VMA_AVL, VMA_VMACACHE])
def test_another_index_gives_the_same_address_spaces(index: int) -> None:
    assert _replay("2.4.37", KERNEL_2_4_37, index, compare_index=False) > 0


def test_user_space_of_the_recording_is_that_of_i386() -> None:
    k = new_kernel(Sizes(nodes=1, cpus=1, frames=1))
    k.vm[0].task_size_vpn = 0xC0000
    assert entry(task_size)(k) == 0xC0000 * PAGE_SIZE
