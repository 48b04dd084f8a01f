"""ELF core files of simulated crashes, which ``readelf -ln`` and gdb open: fs/binfmt_elf.c @2.4 (spec 8.10).

An ELF header, a NOTE and a LOAD header per area, the notes PRSTATUS, PRPSINFO, TASKSTRUCT and, if the task has used its
FPU, PRFPREG; then, from a page boundary on, the areas that are dumped.  i386 and x86-64.

A simulated page holds one number, its contents tag: in the file the page is the tag as eight bytes, least significant
first, 512 times.  No instructions are executed: of the registers only EIP, ESP and the selectors mean something.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from numa_sim.kernel.coredump import HOLE, CoreDump, CoreSegment
from numa_sim.state.constants import PAGE_SHIFT, PAGE_SIZE, VM_EXEC, VM_READ, VM_WRITE

__all__ = ["CoreFile", "core_file", "core_name", "page_bytes"]

ET_CORE: Final = 4
PT_LOAD: Final = 1
PT_NOTE: Final = 4
NT_PRSTATUS: Final = 1
NT_PRFPREG: Final = 2
NT_PRPSINFO: Final = 3
NT_TASKSTRUCT: Final = 4
_USER_CS_DS: Final = {False: (0x23, 0x2B), True: (0x33, 0x2B)}
_EFLAGS: Final = 0x202
_CHUNK_PAGES: Final = 256


@dataclass(frozen=True)
class Layout:
    """How one architecture writes its headers and notes (struct formats, little endian)."""

    machine: int
    elf_class: int
    header: str
    program_header: str
    prstatus: str
    prpsinfo: str
    fpu_bytes: int
    registers: int
    eip: int
    cs: int


I386: Final = Layout(
    machine=3,
    elf_class=1,
    header="<16sHHIIIIIHHHHHH",
    program_header="<8I",
    prstatus="<3i h2x 2I 4i 8i 17I i",
    prpsinfo="<4b I 2H 4i 16s 80s",
    fpu_bytes=108,
    registers=17,
    eip=12,
    cs=13,
)
X86_64: Final = Layout(
    machine=62,
    elf_class=2,
    header="<16sHHIQQQIHHHHHH",
    program_header="<IIQQQQQQ",
    prstatus="<3i h2x 2Q 4i 8q 27Q i4x",
    prpsinfo="<4b4x Q 2I 4i 16s 80s",
    fpu_bytes=512,
    registers=27,
    eip=16,
    cs=17,
)
"""Of the registers, code segment, flags, stack pointer and stack segment follow the instruction pointer."""


@dataclass(frozen=True)
class CoreFile:
    """A core file: its whole contents, and which byte ranges were written; the others are holes."""

    contents: bytes
    written: tuple[tuple[int, int], ...]


def core_name(dump: CoreDump) -> str:
    """File name: core.NAME.PID, with nothing in it that a file name cannot have."""
    return f"core.{''.join(c if c.isalnum() or c in '-_.' else '_' for c in dump.name)}.{dump.pid}"


def page_bytes(tag: int) -> bytes:
    """The bytes of a page whose contents tag is `tag`."""
    return struct.pack("<q", tag) * (PAGE_SIZE // 8)


def core_file(dump: CoreDump) -> CoreFile:
    """Make the file; it ends where the task's limit was reached, even in the middle of an area."""
    size = total = 0
    written: list[tuple[int, int]] = []
    pieces = []
    for offset, piece in _pieces(dump):
        total += len(piece)
        if total > dump.limit_bytes:
            break
        pieces.append((offset, piece))
        size = offset + len(piece)
        if written and written[-1][1] == offset:
            written[-1] = (written[-1][0], size)
        elif piece:
            written.append((offset, size))
    contents = bytearray(size)
    for offset, piece in pieces:
        contents[offset : offset + len(piece)] = piece
    return CoreFile(bytes(contents), tuple(written))


def _pieces(dump: CoreDump) -> Iterator[tuple[int, bytes]]:
    """What is written where, in order; the last piece is empty, at the end the program headers promise."""
    layout = X86_64 if dump.wide else I386
    notes = b"".join(_notes(dump, layout))
    count = len(dump.segments) + 1
    notes_at = struct.calcsize(layout.header) + count * struct.calcsize(layout.program_header)
    data_at = -(-(notes_at + len(notes)) // PAGE_SIZE) * PAGE_SIZE
    headers = [_elf_header(layout, count), _program_header(layout, PT_NOTE, notes_at, 0, len(notes), 0, 0, 0)]
    offset = data_at
    for segment in dump.segments:
        dumped = len(segment.contents) * PAGE_SIZE
        start = segment.start_vpn << PAGE_SHIFT
        memory = segment.pages << PAGE_SHIFT
        headers.append(_program_header(layout, PT_LOAD, offset, start, dumped, memory, _access(segment), PAGE_SIZE))
        offset += dumped
    yield 0, b"".join((*headers, notes))
    for segment in dump.segments:
        yield from ((data_at + at, data) for at, data in _runs(segment.contents))
        data_at += len(segment.contents) * PAGE_SIZE
    yield data_at, b""


def _runs(contents: NDArray[np.int64]) -> Iterator[tuple[int, bytes]]:
    """The pages that are no holes, page by page: where in their area, and their bytes."""
    for first in range(0, len(contents), _CHUNK_PAGES):
        tags = contents[first : first + _CHUNK_PAGES]
        for at in np.flatnonzero(tags != HOLE).tolist():
            yield (first + at) * PAGE_SIZE, page_bytes(int(tags[at]))


def _access(segment: CoreSegment) -> int:
    """p_flags: PF_R 4, PF_W 2, PF_X 1."""
    pairs = ((VM_READ, 4), (VM_WRITE, 2), (VM_EXEC, 1))
    return sum(bit for flag, bit in pairs if segment.flags & flag)


def _elf_header(layout: Layout, count: int) -> bytes:
    ident = b"\x7fELF" + bytes((layout.elf_class, 1, 1)) + bytes(9)
    size, each = struct.calcsize(layout.header), struct.calcsize(layout.program_header)
    return struct.pack(layout.header, ident, ET_CORE, layout.machine, 1, 0, size, 0, 0, size, each, count, 0, 0, 0)


def _program_header(
    layout: Layout, kind: int, offset: int, address: int, in_file: int, in_memory: int, access: int, align: int
) -> bytes:
    if layout is X86_64:
        return struct.pack(layout.program_header, kind, access, offset, address, 0, in_file, in_memory, align)
    return struct.pack(layout.program_header, kind, offset, address, 0, in_file, in_memory, access, align)


def _notes(dump: CoreDump, layout: Layout) -> Iterator[bytes]:
    yield _note(NT_PRSTATUS, _prstatus(dump, layout))
    yield _note(NT_PRPSINFO, _prpsinfo(dump, layout))
    yield _note(NT_TASKSTRUCT, dump.task_struct)
    if dump.has_fpu:
        yield _note(NT_PRFPREG, struct.pack("<H", 0x37F).ljust(layout.fpu_bytes, b"\0"))  # as finit leaves it


def _note(kind: int, data: bytes) -> bytes:
    name, padding = b"CORE\0", bytes(-len(data) % 4)
    return struct.pack("<3I", len(name), len(data), kind) + name.ljust(8, b"\0") + data + padding


def _prstatus(dump: CoreDump, layout: Layout) -> bytes:
    """elf_prstatus: the signal, whose times and whose registers."""
    registers = [0] * layout.registers
    code, data = _USER_CS_DS[dump.wide]
    registers[layout.eip : layout.eip + 5] = [dump.eip, code, _EFLAGS, dump.esp, data]
    if not dump.wide:
        registers[7:9] = [data, data]  # ds, es
    registers[layout.eip - 1] = (1 << (64 if dump.wide else 32)) - 1  # orig_eax: not in a system call
    times = [part for ns in (dump.user_ns, dump.system_ns, 0, 0) for part in (ns // 10**9, ns // 1000 % 10**6)]
    ids = (dump.pid, dump.ppid, dump.pid, dump.pid)
    masks = (dump.pending, dump.blocked)
    return struct.pack(
        layout.prstatus, dump.signal, 0, 0, dump.signal, *masks, *ids, *times, *registers, int(dump.has_fpu)
    )


def _prpsinfo(dump: CoreDump, layout: Layout) -> bytes:
    """elf_prpsinfo: the process as ps shows it."""
    uid = 0 if dump.root else 1000
    ids = (dump.pid, dump.ppid, dump.pid, dump.pid)
    name = dump.name.encode()
    return struct.pack(layout.prpsinfo, 0, ord("R"), 0, dump.nice, dump.flags, uid, uid, *ids, name[:15], name[:79])
