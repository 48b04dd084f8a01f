"""Reader of the project's own trace form: run-length page records in an ``.npz`` file.

Members (see `numa_sim.workloads.traces.canonical_writer` for how they are made): ``vpn`` u64 [pages], ascending;
``page`` u16 or u32 [n], index into vpn; ``flags`` u8 [n]; ``count`` u32 [n]; ``sys_at`` u32 [m], the record a system
call came before; ``sys_no`` u16 [m]; ``sys_args`` u64 [m, 6]; ``sys_ret`` u64 [m]; ``vma0`` u64 [k, 3];
``format_version`` u32 [1], which the first traces have not: they are of version 1.
The three long members are read in step, a chunk at a time, so memory does not grow with the trace.
"""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from numa_sim.compiled import entry, rule
from numa_sim.errors import TraceFormatError
from numa_sim.state.constants import VM_WRITE
from numa_sim.workloads.traces.address_space import AddressSpace, Call
from numa_sim.workloads.traces.items import (
    CHUNK,
    EXECUTE,
    FILL,
    READ,
    USER_PAGES,
    WRITE,
    Item,
    MapCall,
    MoveCall,
    ProtectCall,
    Runs,
    UnmapCall,
    new_runs,
    touching_flags,
)

FORMAT_VERSION = 1
"""Newest form of the file that is known; all older ones are read."""
FLAGS = READ | WRITE | EXECUTE


@rule
def decode_records(
    vpns: Any, mapped: Any, contents: Any, page: Any, flags: Any, count: Any, touching: int, vpn: Any, kind: Any
) -> int:
    """Check records and write their page numbers and flags; return how many are right (all, if all are)."""
    for i in range(len(page)):
        p = page[i]
        if p >= len(vpns) or flags[i] < 1 or flags[i] > FLAGS or count[i] < 1 or mapped[p] == 0:
            return i
        vpn[i] = vpns[p]
        kind[i] = flags[i]
        if contents[p] != 0 and flags[i] & touching != 0:
            contents[p] = 0
            kind[i] = flags[i] | FILL
    return len(page)


_DECODE = {2: entry(decode_records), 4: entry(decode_records)}
"""By the bytes of a page index."""


@contextmanager
def _format_errors(path: Path, where: str) -> Iterator[None]:
    """Only calls of those readers may stand inside."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of Python, about a damaged header's text
            yield
    except FileNotFoundError:
        raise TraceFormatError(path, "", "no such file") from None
    except IsADirectoryError:
        raise TraceFormatError(path, "", "is a folder, no trace") from None
    except Exception as problem:  # the zip, compression and header readers raise a dozen kinds
        text = str(problem) or type(problem).__name__
        raise TraceFormatError(path, where, f"damaged: {text[:200]}") from None


class _Member:
    """One array of the file, read from front to back."""

    def __init__(
        self, path: Path, archive: zipfile.ZipFile, name: str, dtypes: tuple[str, ...], columns: int = 0
    ) -> None:
        self._path = path
        self._name = f"{name}.npy"
        self._at = 0
        with _format_errors(path, self._name):
            self._file = archive.open(self._name)
            version = np.lib.format.read_magic(self._file)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, fortran, dtype = read_header(self._file)
        if dtype.str not in dtypes:
            raise TraceFormatError(path, self._name, f"holds {dtype}, not {' or '.join(dtypes)}")
        if len(shape) != (2 if columns else 1) or (columns and (shape[1] != columns or fortran)) or shape[0] < 0:
            raise TraceFormatError(path, self._name, f"has shape {shape}, not {('n', columns) if columns else ('n',)}")
        self.length = int(shape[0])
        self.dtype = dtype
        self._columns = columns
        size = archive.getinfo(self._name).file_size
        if self.length * max(columns, 1) * dtype.itemsize > size:
            raise TraceFormatError(path, self._name, f"is cut short: {self.length} rows do not fit in {size} bytes")

    def read(self, rows: int) -> Any:
        """Return the next `rows` rows."""
        shape = (rows, self._columns) if self._columns else (rows,)
        with _format_errors(self._path, f"{self._name} row {self._at}"):
            array = np.empty(shape, self.dtype)
            view = array.reshape(-1).view(np.uint8).data
            got = 0
            while got < len(view):
                part = self._file.read(min(len(view) - got, 1 << 20))
                if not part:
                    raise EOFError("the file is cut short")
                view[got : got + len(part)] = part
                got += len(part)
        self._at += rows
        return array

    def finish(self) -> None:
        """Check that nothing follows, and with it the checksum."""
        with _format_errors(self._path, f"{self._name} row {self._at}"):
            if self._file.read(1):
                raise ValueError("more data than the header says")
        self._file.close()

    def whole(self) -> Any:
        """Return all rows."""
        array = self.read(self.length)
        self.finish()
        return array


def read_canonical(path: Path, *, instructions: bool = True, exact: bool = False) -> Iterator[Item]:
    """Yield the mappings and runs of a canonical trace in order; every page is mapped before a run touches it.

    Parameters
    ----------
    path : Path
        The ``.npz`` file; members are read without pickle.
    instructions : bool
        Whether runs of fetches alone will be replayed (else they do not count as first touches).
    exact : bool
        Whether areas keep their permissions (see `numa_sim.workloads.traces.address_space`).

    Raises
    ------
    TraceFormatError
        The file is damaged, cut short, or a record names a page that is not mapped.
    """
    with _format_errors(path, "byte 0"):
        archive = zipfile.ZipFile(path)
    with archive:
        yield from _read(path, archive, touching_flags(instructions), exact)


def _check_version(path: Path, archive: zipfile.ZipFile) -> None:
    """Refuse a trace of a later numa_sim; one that does not say is of version 1."""
    if "format_version.npy" not in archive.namelist():
        return
    said = _Member(path, archive, "format_version", ("<u4",)).whole().tolist()
    if len(said) != 1 or not 1 <= said[0] <= FORMAT_VERSION:
        version = said[0] if len(said) == 1 else said[:9]
        what = f"format_version {version} is unknown, this numa_sim reads 1 to {FORMAT_VERSION}"
        raise TraceFormatError(path, "format_version.npy", what)


def _read(path: Path, archive: zipfile.ZipFile, touching: int, exact: bool) -> Iterator[Item]:
    _check_version(path, archive)
    vpns = _read_pages(path, archive)
    calls = _Calls(path, archive, AddressSpace(exact))
    page = _Member(path, archive, "page", ("<u2", "<u4"))
    flags = _Member(path, archive, "flags", ("|u1",))
    count = _Member(path, archive, "count", ("<u4",))
    n = page.length
    if not n == flags.length == count.length:
        raise TraceFormatError(path, "page.npy", f"{n} pages, {flags.length} flags, {count.length} counts")
    calls.check(n)
    mapped, contents, writable = (np.zeros(len(vpns), np.uint8) for _ in range(3))
    decode = _DECODE[page.dtype.itemsize]
    at = 0
    while True:
        for call in calls.before(at):
            _follow(call, vpns, mapped, contents, writable)
            yield call
        if at == n:
            break
        rows = min(CHUNK, calls.next_at - at, n - at)
        runs = new_runs(rows)
        columns = page.read(rows), flags.read(rows), count.read(rows)
        good = decode(vpns, mapped, contents, *columns, touching, runs.vpn, runs.flags)
        if good < rows:
            _refuse(path, at + good, vpns, [int(c[good]) for c in columns])
        if exact:
            # A record's flags are of a whole stay, which may have begun before mprotect took a permission away.
            late = runs.flags & WRITE & ~writable[columns[0]] != 0
            runs.flags[late] = runs.flags[late] & ~np.uint8(WRITE) | np.uint8(READ)
        yield Runs(runs.vpn, columns[2].astype(np.int64), runs.flags)
        at += rows
    for member in (page, flags, count):
        member.finish()


def _follow(call: Call, vpns: Any, mapped: Any, contents: Any, writable: Any) -> None:
    """Bring up to date what is known of each page: mapped, not zeros and untouched, writable."""
    low, high = np.searchsorted(vpns, (call.vpn, call.vpn + call.pages))
    if isinstance(call, MoveCall):
        new, end = np.searchsorted(vpns, (call.to_vpn, call.to_vpn + call.pages))
        before = vpns[new:end] - call.to_vpn + call.vpn
        at = np.minimum(np.searchsorted(vpns, before), len(vpns) - 1)
        is_known = vpns[at] == before
        mapped[low:high], mapped[new:end] = 0, 1
        # A page that was never touched where it was is as its mapping was made.
        contents[new:end] = np.where(is_known, contents[at], call.contents)
        writable[new:end] = np.where(is_known, writable[at], 1)
        contents[low:high] = 0
        return
    if not isinstance(call, ProtectCall):
        mapped[low:high] = isinstance(call, MapCall)
        contents[low:high] = isinstance(call, MapCall) and call.contents
    if not isinstance(call, UnmapCall):
        writable[low:high] = call.prot & VM_WRITE


def _read_pages(path: Path, archive: zipfile.ZipFile) -> Any:
    """Page numbers of the trace, checked."""
    vpns = _Member(path, archive, "vpn", ("<u8",)).whole()
    wrong = np.flatnonzero(vpns >= USER_PAGES)
    if len(wrong):
        raise TraceFormatError(path, f"vpn.npy row {wrong[0]}", f"page {vpns[wrong[0]]:#x} is beyond user space")
    wrong = np.flatnonzero(vpns[1:] <= vpns[:-1])
    if len(wrong):
        raise TraceFormatError(path, f"vpn.npy row {wrong[0] + 1}", "page numbers must ascend")
    return vpns.astype(np.int64)


def _refuse(path: Path, record: int, vpns: Any, values: list[int]) -> None:
    page, flags, count = values
    if page >= len(vpns):
        what = f"page index {page}, but there are {len(vpns)} pages"
    elif not 1 <= flags <= FLAGS:
        what = f"flags {flags}, not 1 to {FLAGS}"
    elif count < 1:
        what = "a count of 0"
    else:
        what = f"page {vpns[page]:#x} is not mapped here"
    raise TraceFormatError(path, f"record {record}", what)


class _Calls:
    """The system calls of a trace, in step with its records."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, space: AddressSpace) -> None:
        self._path = path
        self._space = space
        self._at = _Member(path, archive, "sys_at", ("<u4",)).whole().tolist()
        self._no = _Member(path, archive, "sys_no", ("<u2",)).whole().tolist()
        self._args = _Member(path, archive, "sys_args", ("<u8",), 6).whole().tolist()
        self._ret = _Member(path, archive, "sys_ret", ("<u8",)).whole().tolist()
        self._vma0 = _Member(path, archive, "vma0", ("<u8",), 3).whole().tolist()
        self._next = 0
        if not len(self._at) == len(self._no) == len(self._args) == len(self._ret):
            raise TraceFormatError(path, "sys_at.npy", "the arrays of system calls differ in length")

    def check(self, records: int) -> None:
        """Refuse calls that stand out of order or beyond the last record."""
        for i, at in enumerate(self._at):
            if at > records or (i and at < self._at[i - 1]):
                raise TraceFormatError(self._path, f"sys_at.npy row {i}", f"call before record {at} is out of order")

    @property
    def next_at(self) -> int:
        """Record the next call comes before."""
        return int(self._at[self._next]) if self._next < len(self._at) else 1 << 62

    def before(self, record: int) -> Iterator[Call]:
        """Yield what happens before `record`: at the start the first mappings, then its calls."""
        try:
            if record == 0:
                where = "vma0.npy"
                yield from self._space.first_mappings(self._vma0)
            while self.next_at == record:
                i = self._next
                self._next += 1
                where = f"system call {i}"
                yield from self._space.call(self._no[i], self._args[i], self._ret[i])
        except ValueError as problem:
            raise TraceFormatError(self._path, where, str(problem)) from None
