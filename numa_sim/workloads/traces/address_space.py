"""The mappings of a recorded process, from its first VMAs and its system calls.

By default a recording becomes mappings of private anonymous memory, readable and writable: neighbours at the start are
one, mprotect changes nothing, and files cost what filling memory costs (see `MapCall.contents`).  An *exact* one keeps
every area, its permissions and what mprotect makes of them.  What mremap moves keeps its pages either way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from numa_sim.state.constants import PAGE_SHIFT, PAGE_SIZE, VM_READ, VM_WRITE
from numa_sim.workloads.traces.items import USER_PAGES, MapCall, MoveCall, ProtectCall, UnmapCall
from numa_sim.workloads.traces.ranges import Ranges

SYS_MMAP, SYS_MPROTECT, SYS_MUNMAP, SYS_BRK, SYS_MREMAP, SYS_MADVISE, SYS_CLONE = 9, 10, 11, 12, 25, 28, 56
"""Numbers of the recorded system calls (x86-64)."""
MAP_TYPE, MAP_PRIVATE, MAP_ANONYMOUS = 0x0F, 0x02, 0x20
MADV_DONTNEED = 4
MREMAP_DONTUNMAP = 4
_FIRST_ERROR = 2**64 - 4095
_DATA = VM_READ | VM_WRITE

Call = MapCall | UnmapCall | MoveCall | ProtectCall


class AddressSpace:
    """Which pages are mapped, and what each system call changes.

    Wrong calls raise `ValueError` with what is wrong; readers add the place.

    Parameters
    ----------
    exact : bool
        Keep areas and permissions as they are (see the module).
    """

    def __init__(self, exact: bool = False) -> None:
        self._exact = exact
        self._mapped = Ranges()
        self._with_contents = Ranges()
        self._break: int | None = None  # bytes; None = not seen yet

    def first_mappings(self, vmas: Iterable[Sequence[int]]) -> list[MapCall]:
        """Map the VMAs ``(start, end, prot)`` in bytes that exist at the start; neighbours become one mapping."""
        calls: list[MapCall] = []
        for start_bytes, end_bytes, prot in vmas:
            if start_bytes % PAGE_SIZE or end_bytes % PAGE_SIZE or start_bytes >= end_bytes:
                raise ValueError(f"no memory area: {start_bytes:#x}-{end_bytes:#x}")
            start, end = start_bytes >> PAGE_SHIFT, end_bytes >> PAGE_SHIFT
            if start >= USER_PAGES:
                continue  # the kernel's vsyscall page
            if end > USER_PAGES or self._mapped.overlaps(start, end):
                raise ValueError(f"area {start_bytes:#x}-{end_bytes:#x} overlaps another or the kernel's half")
            self._mapped.add(start, end)
            self._with_contents.add(start, end)
            last = calls[-1] if calls else None
            if last is not None and last.vpn + last.pages == start and not self._exact:
                calls[-1] = last._replace(pages=end - last.vpn, prot=last.prot | int(prot))
            else:
                calls.append(MapCall(start, end - start, int(prot), contents=True))
        return calls

    def call(self, number: int, args: Sequence[int], result: int) -> list[Call]:
        """Return what the system call changed; a call that failed or maps nothing changes nothing."""
        if result >= _FIRST_ERROR:
            return []
        if number == SYS_MMAP:
            return self._mmap(args, result)
        if number == SYS_MUNMAP:
            return list(self._unmap(*_range(args[0], args[1])))
        if number == SYS_BRK:
            return self._brk(result)
        if number == SYS_MREMAP:
            return self._mremap(args, result)
        if number == SYS_MADVISE and args[2] == MADV_DONTNEED:
            dropped = self._unmap(*_range(args[0], args[1]))
            return [*dropped, *(c for u in dropped for c in self._map(u.vpn, u.vpn + u.pages, _DATA, False))]
        if number == SYS_MPROTECT and self._exact and args[1]:
            start, end = _range(args[0], args[1])
            return [ProtectCall(start, end - start, args[2] & 7)]
        if number not in (SYS_MPROTECT, SYS_MADVISE, SYS_CLONE):
            raise ValueError(f"system call {number} is not one of 9, 10, 11, 12, 25, 28, 56")
        return []

    def _mmap(self, args: Sequence[int], result: int) -> list[Call]:
        start, end = _range(result, args[1])
        shared = self._exact and args[3] & MAP_TYPE != MAP_PRIVATE
        return self._map(start, end, args[2] & 7, contents=not args[3] & MAP_ANONYMOUS, shared=shared)

    def _brk(self, result: int) -> list[Call]:
        if result > USER_PAGES * PAGE_SIZE:
            raise ValueError(f"break {result:#x} is beyond user space")
        new = -(-result // PAGE_SIZE)
        old = self._break if self._break is not None else self._find_break(new)
        self._break = new
        if new > old:
            return self._map(old, new, _DATA, contents=False)
        return list(self._unmap(new, old))

    def _find_break(self, new: int) -> int:
        """Guess where the heap ended before the first break seen: at the end of the area at or below the new one."""
        return self._mapped.end_before(new)

    def _mremap(self, args: Sequence[int], result: int) -> list[Call]:
        old_start, old_end = _range(args[0], max(args[1], 1))
        new_start, new_end = _range(result, args[2])
        if new_start == old_start:
            if new_end > old_end:
                return self._map(old_end, new_end, _DATA, contents=False)
            return list(self._unmap(new_end, old_end))
        pages = min(old_end - old_start, new_end - new_start)
        is_apart = old_end <= new_start or new_end <= old_start
        calls: list[Call]
        if args[1] and is_apart and self._mapped.covers(old_start, old_start + pages):
            calls = [*self._unmap(new_start, new_end), self._move(old_start, pages, new_start)]
            calls += self._unmap(old_start + pages, old_end)
            if args[3] & MREMAP_DONTUNMAP:
                calls += self._map(old_start, old_end, _DATA, contents=False)
        else:  # of a shared mapping a second one, or of something the recording does not know
            calls = list(self._unmap(old_start, old_end)) if args[1] else []
            calls += self._map(new_start, new_start + pages, _DATA, contents=True)
        if new_start + pages < new_end:
            calls += self._map(new_start + pages, new_end, _DATA, contents=False)
        return calls

    def _map(self, start: int, end: int, prot: int, contents: bool, shared: bool = False) -> list[Call]:
        """Map [start, end), taking the place of what was there (MAP_FIXED)."""
        calls: list[Call] = list(self._unmap(start, end))
        self._mapped.add(start, end)
        if contents:
            self._with_contents.add(start, end)
        calls.append(MapCall(start, end - start, prot, contents, shared))
        return calls

    def _unmap(self, start: int, end: int) -> list[UnmapCall]:
        self._with_contents.cut(start, end)
        return [UnmapCall(low, high - low) for low, high in self._mapped.cut(start, end)]

    def _move(self, start: int, pages: int, to: int) -> MoveCall:
        """Move mapped pages to where nothing is."""
        self._mapped.cut(start, start + pages)
        self._mapped.add(to, to + pages)
        filled = self._with_contents.cut(start, start + pages)
        for low, high in filled:
            self._with_contents.add(low + to - start, high + to - start)
        return MoveCall(start, pages, to, bool(filled))


def _range(address: int, length: int) -> tuple[int, int]:
    """Pages [start, end) of `length` bytes from `address` on."""
    end = -(-(address + length) // PAGE_SIZE)
    if address % PAGE_SIZE or length == 0 or end > USER_PAGES:
        raise ValueError(f"no range of user pages: {address:#x}, {length:#x} bytes")
    return address >> PAGE_SHIFT, end
