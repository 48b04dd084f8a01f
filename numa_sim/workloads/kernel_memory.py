"""What code inside the kernel does with memory: a program may act as a kernel module.

Kernel memory belongs to no task: what is not given back stays taken when the task ends, as with a real module.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from numa_sim.errors import ConfigError
from numa_sim.state.constants import GFP_ATOMIC, GFP_DMA_BIT, GFP_KERNEL, MAX_ORDER, PAGE_SHIFT, PAGE_SIZE
from numa_sim.workloads.patterns.source import Pattern, require

if TYPE_CHECKING:
    from numa_sim.workloads.program import Region, Touch

KMALLOC_MAX_BYTES = 131072


@dataclass(frozen=True, slots=True)
class KernelMemory:
    """Memory of the kernel that a program holds.

    Attributes
    ----------
    kind : {"kmalloc", "vmalloc", "pages"}
    address : int
        In bytes: physical for kmalloc and pages, virtual for vmalloc.
    size_bytes : int
        What was asked for.
    """

    kind: Literal["kmalloc", "vmalloc", "pages"]
    address: int
    size_bytes: int

    @property
    def pages(self) -> int:
        """Whole pages it takes or touches."""
        return -(-self.size_bytes // PAGE_SIZE)


@dataclass(frozen=True, slots=True)
class Kmalloc:
    """kmalloc; answered with `KernelMemory`."""

    size_bytes: int
    gfp: int


@dataclass(frozen=True, slots=True)
class Kfree:
    """kfree of a physical address."""

    address: int


@dataclass(frozen=True, slots=True)
class Vmalloc:
    """vmalloc; answered with `KernelMemory`."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Vfree:
    """vfree of an address, which need not be right."""

    address: int


@dataclass(frozen=True, slots=True)
class GetFreePages:
    """__get_free_pages; answered with `KernelMemory`."""

    order: int
    gfp: int
    zeroed: bool = False


@dataclass(frozen=True, slots=True)
class FreePages:
    """free_pages of what `GetFreePages` gave."""

    memory: KernelMemory


@dataclass(frozen=True, slots=True)
class KernelTouch:
    """Accesses in kernel mode."""

    touch: Touch


@dataclass(frozen=True, slots=True)
class Kmap:
    """kmap of the frame behind a page of the task's own, which must be mapped; answered with the slot or None."""

    vpn: int


@dataclass(frozen=True, slots=True)
class Kunmap:
    """kunmap of what `Kmap` mapped."""

    vpn: int


@dataclass(frozen=True, slots=True)
class LookUp:
    """Look up names ``first`` to ``first + names - 1``: each gets a dentry and an inode in their caches."""

    first: int
    names: int


KERNEL_OPERATIONS = (Kmalloc, Kfree, Vmalloc, Vfree, GetFreePages, FreePages, KernelTouch, Kmap, Kunmap, LookUp)


class KernelCalls(ABC):
    """The part of a task's handle that acts inside the kernel."""

    name: str

    @abstractmethod
    def _size(self, value: int | str, path: str) -> int: ...

    @abstractmethod
    def touch(self, region: Region, *args: Any, **options: Any) -> Touch:
        """Access a region."""

    def kmalloc(self, size: int | str, dma: bool = False, atomic: bool = False) -> Kmalloc:
        """Allocate up to 128 KiB of contiguous kernel memory; ``yield`` gives `KernelMemory`.

        The program gets an `OSError` (ENOMEM) if there is none.

        Parameters
        ----------
        dma : bool
            Below 16 MB (GFP_DMA).
        atomic : bool
            Never wait or reclaim (GFP_ATOMIC).
        """
        size_bytes = self._size(size, "kmalloc.size")
        allowed = f"1 to {KMALLOC_MAX_BYTES} bytes"
        require(0 < size_bytes <= KMALLOC_MAX_BYTES, f"{self.name}: kmalloc.size", f"{size}", allowed)
        return Kmalloc(size_bytes, _gfp(dma, atomic))

    def kfree(self, memory: KernelMemory) -> Kfree:
        """Give back what `kmalloc` gave."""
        return Kfree(self._held(memory, "kmalloc", "kfree").address)

    def vmalloc(self, size: int | str) -> Vmalloc:
        """Allocate kernel memory that is contiguous in virtual addresses only; ``yield`` gives `KernelMemory`.

        The program gets an `OSError` (ENOMEM) if the size is 0 or more than all memory, or no gap is long enough.
        """
        return Vmalloc(self._size(size, "vmalloc.size"))

    def vfree(self, memory: KernelMemory | int) -> Vfree:
        """Give back what `vmalloc` gave; an address that is wrong makes the kernel complain (a warning of the run)."""
        if type(memory) is int:
            return Vfree(memory)
        assert isinstance(memory, KernelMemory), "not kernel memory"
        return Vfree(self._held(memory, "vmalloc", "vfree").address)

    def get_free_pages(
        self, order: int = 0, dma: bool = False, atomic: bool = False, zeroed: bool = False
    ) -> GetFreePages:
        """Allocate ``2**order`` contiguous pages; ``yield`` gives `KernelMemory`, or an `OSError` (ENOMEM).

        Parameters
        ----------
        zeroed : bool
            get_zeroed_page: one page, cleared.
        """
        limit = 0 if zeroed else MAX_ORDER - 1
        given = type(order) is int and 0 <= order <= limit
        require(given, f"{self.name}: get_free_pages.order", f"{order!r}", f"0 to {limit}")
        return GetFreePages(order, _gfp(dma, atomic), zeroed)

    def free_pages(self, memory: KernelMemory) -> FreePages:
        """Give back what `get_free_pages` gave."""
        return FreePages(self._held(memory, "pages", "free_pages"))

    def kernel_touch(
        self,
        memory: KernelMemory,
        pattern: Pattern | None = None,
        accesses: int | None = None,
        write: float = 0.0,
        overrun: int = 0,
    ) -> KernelTouch:
        """Access memory of `vmalloc` in kernel mode, and `overrun` pages behind it: the first of them is an oops."""
        from numa_sim.workloads.program import Region

        self._held(memory, "vmalloc", "kernel_touch")
        given = type(overrun) is int and overrun >= 0
        require(given, f"{self.name}: kernel_touch.overrun", f"{overrun!r}", "0 or more pages")
        region = Region(memory.address >> PAGE_SHIFT, memory.pages + overrun)
        return KernelTouch(self.touch(region, pattern, accesses, write))

    def kmap(self, region: Region, page: int = 0) -> Kmap:
        """Make the frame behind a page of `region` addressable for the kernel, sleeping while all slots are in use.

        ``yield`` gives the slot, or None for a frame of low memory, which needs none.  The page must have been touched.
        """
        require(0 <= page < region.pages, f"{self.name}: kmap.page", f"{page}", f"0 to {region.pages - 1}")
        return Kmap(region.start_vpn + page)

    def kunmap(self, region: Region, page: int = 0) -> Kunmap:
        """Give the slot of `kmap` up; one task that waits for a slot goes on."""
        require(0 <= page < region.pages, f"{self.name}: kunmap.page", f"{page}", f"0 to {region.pages - 1}")
        return Kunmap(region.start_vpn + page)

    def look_up(self, names: int, first: int = 0) -> LookUp:
        """Look names up in a directory (as find(1) does): each leaves a dentry and an inode in their caches."""
        for what, value, low in (("names", names, 1), ("first", first, 0)):
            given = type(value) is int and value >= low
            require(given, f"{self.name}: look_up.{what}", f"{value!r}", f"{low} or more")
        return LookUp(first, names)

    def _held(self, memory: KernelMemory, kind: str, what: str) -> KernelMemory:
        if not isinstance(memory, KernelMemory) or memory.kind != kind:
            gives = "get_free_pages" if kind == "pages" else kind
            raise ConfigError("", f"{self.name}: {what}", f"got {memory!r}", (f"what yield task.{gives}() gave",))
        return memory


def _gfp(dma: bool, atomic: bool) -> int:
    return (GFP_ATOMIC if atomic else GFP_KERNEL) | (GFP_DMA_BIT if dma else 0)


@dataclass(slots=True)
class ChurnResult:
    """What `churn` did: requests served and refused, and the memory it still holds, oldest first."""

    served: int
    refused: int
    held: list[KernelMemory]


def churn(
    task: Any,
    kind: Literal["kmalloc", "vmalloc"],
    requests: int,
    sizes: tuple[int, int],
    live: int,
    rng: np.random.Generator,
) -> Generator[Any, Any, ChurnResult]:
    """Make `requests` requests of random sizes, and give back a random one whenever more than `live` are held.

    Sizes are drawn log-uniformly from the range `sizes`, bytes.  The draws do not depend on which requests are
    refused: the same stream gives every policy the same requests.

    Examples
    --------
    >>> def module(task):                                                       # doctest: +SKIP
    ...     done = yield from churn(task, "vmalloc", 1000, (4096, 1 << 20), 100, task.rng("churn"))
    """
    low, high = sizes
    held: list[KernelMemory] = []
    served = 0
    for _ in range(requests):
        size = int(np.exp(rng.uniform(np.log(low), np.log(high + 1))))
        which = float(rng.random())
        size = min(max(size, low), high)
        try:
            memory = yield task.kmalloc(size) if kind == "kmalloc" else task.vmalloc(size)
        except OSError:
            pass
        else:
            held.append(memory)
            served += 1
        if len(held) > live:
            memory = held.pop(int(which * len(held)))
            yield task.kfree(memory) if kind == "kmalloc" else task.vfree(memory)
    return ChurnResult(served, requests - served, held)


def kernel_operation(task: Any, op: Any, held: dict[str, KernelMemory]) -> Generator[Any, Any, None]:
    """One operation of a configured program (by its fields); `held` is what the program holds, by name.

    What an allocation that failed was to be called is not in `held`: operations on it do nothing.
    """
    match op.op:
        case "kmalloc" | "vmalloc":
            call = task.kmalloc(op.size, op.dma, op.atomic) if op.op == "kmalloc" else task.vmalloc(op.size)
            with suppress(OSError):  # the machine has warned
                held[op.as_] = yield call
        case "kfree" | "vfree":
            if op.on in held:
                memory = held.pop(op.on)
                yield task.kfree(memory) if op.op == "kfree" else task.vfree(memory)
        case "kernel_touch":
            if op.on in held:
                yield task.kernel_touch(held[op.on], write=op.write, overrun=op.overrun)
        case "churn":
            yield from churn(task, op.of, op.requests, (op.smallest, op.largest), op.live, task.rng(f"churn {op.of}"))
        case "look_up":
            with suppress(OSError):
                yield task.look_up(op.names, op.first)
