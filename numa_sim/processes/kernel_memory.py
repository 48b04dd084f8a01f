"""Operations of a program that acts as a kernel module, on the time of its task.

The rules are restartable: an allocation that must reclaim is called again after the slow path.  CPU work is charged to
*syscall*, reclaim to *direct_reclaim*, waiting for a slot of kmap to *sleep*.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EFAULT, ENOMEM
from os import strerror
from typing import TYPE_CHECKING, Any, Literal

from numa_sim.compiled import entry
from numa_sim.errors import SimulationError
from numa_sim.kernel.dcache import d_lookup
from numa_sim.kernel.gfp import free_kernel_pages, get_free_pages, get_zeroed_page
from numa_sim.kernel.highmem import KMAP_LINEAR, KMAP_WAIT, kmap, kunmap
from numa_sim.kernel.pgtable import get_pte
from numa_sim.kernel.slab.cache import kmem_cache_init
from numa_sim.kernel.slab.grow import stop_growing
from numa_sim.kernel.slab.kmalloc import kmalloc
from numa_sim.kernel.slab.objects import kfree
from numa_sim.kernel.vmalloc import (
    VFREE_NONEXISTENT,
    VFREE_UNALIGNED,
    vfree,
    vmalloc_area_pages,
    vmalloc_begin,
)
from numa_sim.processes.signal import Signal
from numa_sim.state.answers import ALLOC_FAIL, ALLOC_RECLAIM
from numa_sim.state.constants import GFP_KERNEL, NIL, PAGE_SHIFT, PTE_PRESENT
from numa_sim.state.counters import PART_SLEEP, PART_SYSCALL
from numa_sim.workloads.kernel_memory import (
    FreePages,
    GetFreePages,
    KernelMemory,
    KernelTouch,
    Kfree,
    Kmalloc,
    Kmap,
    Kunmap,
    LookUp,
    Vfree,
    Vmalloc,
)

if TYPE_CHECKING:
    from numa_sim.processes.runnable import Steps
    from numa_sim.processes.task import TaskProcess

_kmalloc = entry(kmalloc)
_stop_growing = entry(stop_growing)
_kfree = entry(kfree)
_vmalloc_begin = entry(vmalloc_begin)
_vmalloc_area_pages = entry(vmalloc_area_pages)
_vfree = entry(vfree)
_get_free_pages = entry(get_free_pages)
_get_zeroed_page = entry(get_zeroed_page)
_free_kernel_pages = entry(free_kernel_pages)
_kmap = entry(kmap)
_kunmap = entry(kunmap)
_get_pte = entry(get_pte)
_d_lookup = entry(d_lookup)

_LOOK_UP_NS = 100_000
"""A long run of look-ups lets others see its work at least this often."""
_COMPLAINTS = {
    VFREE_UNALIGNED: "Trying to vfree() bad address",
    VFREE_NONEXISTENT: "Trying to vfree() nonexistent vm area",
}


def kernel_call(task: TaskProcess, operation: Any) -> Steps:
    """Carry out one operation; its answer, or the `OSError` the program gets."""
    if isinstance(operation, KernelTouch):
        yield from _touch(task, operation)
        return None
    task.enter_kernel()
    task.record.cost_ns = 0
    kmem_cache_init(task.kernel)
    answer = None
    if type(operation) in _AT_ONCE:
        _AT_ONCE[type(operation)](task, operation)
    else:
        answer = yield from _IN_STEPS[type(operation)](task, operation)
    task.machine.attend()
    yield from task.spend(task.record.cost_ns, PART_SYSCALL)
    task.record.cost_ns = 0
    return answer


def _until_allocated(task: TaskProcess, rule: Callable[..., Any], *args: int) -> Steps:
    """Call an allocating rule until it need not reclaim any more; its answer (ALLOC_FAIL if the task is killed)."""
    while True:
        answer = int(rule(task.kernel, task.index, *args))
        if answer != ALLOC_RECLAIM:
            return answer
        task.machine.attend()
        yield from task.spend(task.record.cost_ns, PART_SYSCALL)
        yield from task.machine.generation.finish_allocation(task)
        if task.record.killed:
            _stop_growing(task.kernel, task.index)
            return ALLOC_FAIL
        task.enter_kernel()
        task.record.cost_ns = 0


def _held(kind: Literal["kmalloc", "vmalloc", "pages"], address: int, size_bytes: int) -> KernelMemory | OSError:
    """What the program gets: the memory, or ENOMEM."""
    return KernelMemory(kind, address, size_bytes) if address >= 0 else OSError(ENOMEM, strerror(ENOMEM))


def _do_kmalloc(task: TaskProcess, operation: Kmalloc) -> Steps:
    address = yield from _until_allocated(task, _kmalloc, operation.size_bytes, operation.gfp)
    return _held("kmalloc", address, operation.size_bytes)


def _do_kfree(task: TaskProcess, operation: Kfree) -> None:
    if not _kfree(task.kernel, operation.address):
        raise SimulationError(f"task {task.name}: kernel BUG: kfree of {operation.address:#x}, which is not allocated")


def _do_vmalloc(task: TaskProcess, operation: Vmalloc) -> Steps:
    k = task.kernel
    area = int(_vmalloc_begin(k, operation.size_bytes))
    if area == NIL:
        return _held("vmalloc", NIL, 0)
    failed = yield from _until_allocated(task, _vmalloc_area_pages, area)
    address = int(k.vm_structs[area].addr) << PAGE_SHIFT
    if failed:
        task.enter_kernel()
        _vfree(k, address)
        return _held("vmalloc", NIL, 0)
    return _held("vmalloc", address, operation.size_bytes)


def _do_vfree(task: TaskProcess, operation: Vfree) -> None:
    answer = int(_vfree(task.kernel, operation.address))
    if answer in _COMPLAINTS:
        task.machine.warn(f"task {task.name}: {_COMPLAINTS[answer]} ({operation.address:08x})")


def _do_get_free_pages(task: TaskProcess, operation: GetFreePages) -> Steps:
    if operation.zeroed:
        pfn = yield from _until_allocated(task, _get_zeroed_page, operation.gfp)
    else:
        pfn = yield from _until_allocated(task, _get_free_pages, operation.gfp, operation.order)
    return _held("pages", pfn << PAGE_SHIFT if pfn >= 0 else NIL, (1 << operation.order) << PAGE_SHIFT)


def _do_free_pages(task: TaskProcess, operation: FreePages) -> None:
    memory = operation.memory
    _free_kernel_pages(task.kernel, memory.address >> PAGE_SHIFT, memory.pages.bit_length() - 1)


def _frame(task: TaskProcess, vpn: int, what: str) -> int:
    pte = int(_get_pte(task.kernel, int(task.record.mm), vpn)) if task.kernel.mms[task.record.mm].pgd != NIL else 0
    if not pte & PTE_PRESENT:
        raise SimulationError(f"task {task.name}: {what} of page {vpn:#x}, which is not in memory (touch it before)")
    return pte >> PAGE_SHIFT


def _do_kmap(task: TaskProcess, operation: Kmap) -> Steps:
    waiting = task.machine.kmap_waiting
    while (slot := int(_kmap(task.kernel, _frame(task, operation.vpn, "kmap")))) == KMAP_WAIT:
        signal = Signal(task.machine)
        waiting.append(signal)
        yield from task.sleep_until(signal.armed(), PART_SLEEP)
        if task.record.killed:
            return OSError(EFAULT, strerror(EFAULT))
        task.enter_kernel()
    return None if slot == KMAP_LINEAR else slot


def _do_kunmap(task: TaskProcess, operation: Kunmap) -> None:
    waiting = task.machine.kmap_waiting
    if _kunmap(task.kernel, _frame(task, operation.vpn, "kunmap")):
        for signal in waiting:
            signal.come_in(0)
        waiting.clear()


def _do_look_up(task: TaskProcess, operation: LookUp) -> Steps:
    k = task.kernel
    names = len(k.dentries) - len(k.mappings)
    if operation.first + operation.names > names:
        raise SimulationError(f"task {task.name}: look_up: there are {names} names")
    first = operation.first + len(k.mappings)  # the names before are those of files
    for name in range(first, first + operation.names):
        failed = yield from _until_allocated(task, _d_lookup, name, GFP_KERNEL)
        if failed < 0:
            return OSError(ENOMEM, strerror(ENOMEM))
        if task.record.cost_ns >= _LOOK_UP_NS:
            yield from task.spend(task.record.cost_ns, PART_SYSCALL)
            yield from task.give_way()
            if task.record.killed:
                break
            task.enter_kernel()
            task.record.cost_ns = 0
    return None


def _touch(task: TaskProcess, operation: KernelTouch) -> Steps:
    """The accesses of a touch, in kernel mode."""
    task.record.kernel_mode = 1
    yield from task.touch(operation.touch)
    task.record.kernel_mode = 0


_AT_ONCE: dict[type, Callable[[Any, Any], None]] = {
    Kfree: _do_kfree,
    Vfree: _do_vfree,
    FreePages: _do_free_pages,
    Kunmap: _do_kunmap,
}
_IN_STEPS: dict[type, Callable[[Any, Any], Any]] = {
    Kmalloc: _do_kmalloc,
    Vmalloc: _do_vmalloc,
    GetFreePages: _do_get_free_pages,
    Kmap: _do_kmap,
    LookUp: _do_look_up,
}
