"""Reader of ``strace -f -e trace=%memory,%process`` text: the memory calls of one recorded process.

Lines: ``[pid] call(arguments) = result``, with or without times (``-t``, ``-r``) and descriptor paths (``-y``); a call
cut in two by another thread (``<unfinished ...>``, ``<... call resumed>``) counts where it ended.  The process is the
first one of the log; its threads (clone with CLONE_VM) share its calls, processes it forks are left out.  What it had
mapped before its last execve is gone, so what stands before that is left out, too.

No times are kept: `numa_sim.workloads.traces.recording` puts the calls between the accesses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from numa_sim.errors import TraceFormatError
from numa_sim.workloads.traces.address_space import (
    SYS_BRK,
    SYS_MADVISE,
    SYS_MMAP,
    SYS_MPROTECT,
    SYS_MREMAP,
    SYS_MUNMAP,
)

_MEMORY_CALLS: Final = {
    "mmap": SYS_MMAP,
    "mprotect": SYS_MPROTECT,
    "munmap": SYS_MUNMAP,
    "brk": SYS_BRK,
    "mremap": SYS_MREMAP,
    "madvise": SYS_MADVISE,
}
_TASK_CALLS: Final = ("clone", "clone3", "fork", "vfork", "execve", "execveat")
_CLONE_VM: Final = "CLONE_VM"
_NAMED: Final = {
    "NULL": 0,
    "PROT_NONE": 0, "PROT_READ": 1, "PROT_WRITE": 2, "PROT_EXEC": 4,
    "MAP_FILE": 0, "MAP_SHARED": 1, "MAP_PRIVATE": 2, "MAP_SHARED_VALIDATE": 3, "MAP_FIXED": 0x10,
    "MAP_ANONYMOUS": 0x20, "MAP_32BIT": 0x40, "MAP_GROWSDOWN": 0x100, "MAP_DENYWRITE": 0x800, "MAP_EXECUTABLE": 0x1000,
    "MAP_LOCKED": 0x2000, "MAP_NORESERVE": 0x4000, "MAP_POPULATE": 0x8000, "MAP_NONBLOCK": 0x10000,
    "MAP_STACK": 0x20000, "MAP_HUGETLB": 0x40000, "MAP_SYNC": 0x80000, "MAP_FIXED_NOREPLACE": 0x100000,
    "PROT_GROWSDOWN": 0x1000000, "PROT_GROWSUP": 0x2000000,
    "MREMAP_MAYMOVE": 1, "MREMAP_FIXED": 2, "MREMAP_DONTUNMAP": 4,
    "MADV_NORMAL": 0, "MADV_RANDOM": 1, "MADV_SEQUENTIAL": 2, "MADV_WILLNEED": 3, "MADV_DONTNEED": 4, "MADV_FREE": 8,
    "MADV_REMOVE": 9, "MADV_DONTFORK": 10, "MADV_DOFORK": 11, "MADV_MERGEABLE": 12, "MADV_UNMERGEABLE": 13,
    "MADV_HUGEPAGE": 14, "MADV_NOHUGEPAGE": 15, "MADV_DONTDUMP": 16, "MADV_DODUMP": 17,
}  # fmt: skip
"""Values of the names strace prints (asm-generic/mman.h)."""

_PID = r"(?:\[pid\s+(?P<pid>\d+)\]\s+|(?P<pid_>\d+)\s+)?(?:\d[\d:.]*\s+)?"
_RESULT = r"\s+=\s+(?P<result>-?(?:0x[0-9a-f]+|\d+)|\?)(?:\s.*)?$"
_WHOLE = re.compile(_PID + r"(?P<name>\w+)\((?P<args>.*)\)" + _RESULT)
_BEGUN = re.compile(_PID + r"(?P<name>\w+)\((?P<args>.*?),?\s*<unfinished \.\.\.>$")
_ENDED = re.compile(_PID + r"<\.\.\. (?P<name>\w+) resumed>\s*(?P<args>.*)\)" + _RESULT)
_OTHER = re.compile(_PID + r"(?:\+\+\+ .* \+\+\+|--- .* ---|strace: .*|\w+\(.*)?$")
_PATH = re.compile(r"(?<=\d)<[^>]*>")
_NUMBER = re.compile(r"(?:0x[0-9a-f]+|-?\d+)")


class SystemCall(NamedTuple):
    """One call as the kernel saw it: x86-64 number, six arguments and result, as unsigned 64-bit values."""

    number: int
    args: tuple[int, ...]
    result: int


class _Line(NamedTuple):
    pid: int
    name: str
    args: str
    result: int | None  # None: the call never returned


def read_strace(path: Path) -> list[SystemCall]:
    """Memory calls of the recorded process, in order.

    Parameters
    ----------
    path : Path
        Log of ``strace -f``, written by ``-o`` or taken from its standard error.

    Raises
    ------
    TraceFormatError
        With the number of the first line that cannot be read; or if the log holds no memory call.
    """
    calls: list[SystemCall] = []
    ours: set[int] = set()
    for number, line in _lines(path):
        if not ours:
            ours.add(line.pid)
        if line.pid not in ours:
            continue
        if line.name in _MEMORY_CALLS:
            calls.append(_memory_call(path, number, line))
        elif line.name.startswith("execve") and line.result == 0:
            calls.clear()
        elif line.name in _TASK_CALLS and _CLONE_VM in line.args and line.result:
            ours.add(line.result)
    if not calls:
        raise TraceFormatError(path, "", "holds no memory call: record with strace -f -e trace=%memory,%process")
    return calls


def _lines(path: Path) -> Iterator[tuple[int, _Line]]:
    """Finished calls with the number of the line on which they ended."""
    begun: dict[int, str] = {}
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, text in enumerate(file, 1):
                line = text.rstrip()
                if found := _BEGUN.match(line):
                    begun[_pid(found)] = found["args"]
                elif found := _ENDED.match(line):
                    before = begun.pop(_pid(found), "")
                    args = ", ".join(part for part in (before, found["args"].lstrip(" ,")) if part)
                    yield number, _Line(_pid(found), found["name"], args, _result(found))
                elif found := _WHOLE.match(line):
                    yield number, _Line(_pid(found), found["name"], found["args"], _result(found))
                elif not _OTHER.match(line):
                    raise TraceFormatError(path, f"line {number}", f"is no line of strace: {line[:80]!r}")
    except OSError as problem:
        raise TraceFormatError(path, "", f"cannot be read: {problem.strerror}") from None


def _pid(found: re.Match[str]) -> int:
    return int(found["pid"] or found["pid_"] or 0)


def _result(found: re.Match[str]) -> int | None:
    return None if found["result"] == "?" else int(found["result"], 0)


def _memory_call(path: Path, number: int, line: _Line) -> SystemCall:
    values = []
    args = _PATH.sub("", line.args)
    for text in args.split(", ") if args else []:
        value = _value(text)
        if value is None:
            raise TraceFormatError(path, f"line {number}", f"{line.name}: cannot read the argument {text[:60]!r}")
        values.append(value % 2**64)
    result = line.result if line.result is not None else -1
    return SystemCall(_MEMORY_CALLS[line.name], tuple((values + [0] * 6)[:6]), result % 2**64)


def _value(text: str) -> int | None:
    """Value of one printed argument: names and numbers, or-ed."""
    value = 0
    for word in text.strip().split("|"):
        if word in _NAMED:
            value |= _NAMED[word]
        elif _NUMBER.fullmatch(word):
            value |= int(word, 0)
        else:
            return None
    return value
