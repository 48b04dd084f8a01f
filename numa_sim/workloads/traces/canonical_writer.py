"""Writer of the project's own trace form (members: see `numa_sim.workloads.traces.canonical`)."""

from __future__ import annotations

import io
import tempfile
import uuid
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from numa_sim.errors import TraceFormatError
from numa_sim.state.constants import MREMAP_FIXED, MREMAP_MAYMOVE, PAGE_SHIFT
from numa_sim.workloads.traces.address_space import (
    MAP_ANONYMOUS,
    SYS_MMAP,
    SYS_MPROTECT,
    SYS_MREMAP,
    SYS_MUNMAP,
)
from numa_sim.workloads.traces.canonical import FORMAT_VERSION
from numa_sim.workloads.traces.items import FILL, MAX_COUNT, Item, MapCall, MoveCall, ProtectCall, Runs, UnmapCall

_MAP_SHARED_FIXED, _MAP_PRIVATE_FIXED = 0x11, 0x12
_NO_FILE = 2**64 - 1
_COLUMNS = (("page", np.uint32), ("flags", np.uint8), ("count", np.uint32))
_COPY_ROWS = 1 << 20


def write_canonical(path: Path, items: Iterable[Item]) -> int:
    """Write `items` as a canonical trace; return the number of records.

    Mappings become mmap and munmap calls (without MAP_ANONYMOUS where they had contents), so a trace written and
    read again yields the same runs and mappings.  Columns wait in temporary files, so memory grows only with the
    pages.  Same items, same bytes.

    Parameters
    ----------
    path : Path
        File to write; it appears whole or not at all.
    items : iterable of Item
        What a reader yields.
    """
    with tempfile.TemporaryDirectory(prefix="numa_sim-trace-") as folder:
        spilled = _Spill(Path(folder))
        for item in items:
            spilled.add(item)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with zipfile.ZipFile(temporary, "w") as archive:
                spilled.write(archive)
            temporary.replace(path)
        except OSError as problem:
            raise TraceFormatError(path, "", f"cannot be written: {problem.strerror}") from None
        finally:
            temporary.unlink(missing_ok=True)
    return spilled.records


class _Spill:
    """Columns of a trace while its pages are not all known."""

    def __init__(self, folder: Path) -> None:
        self.records = 0
        self._index: dict[int, int] = {}  # vpn -> order of first touch
        self._calls: list[tuple[int, int, list[int], int]] = []
        self._paths = {name: folder / name for name, _ in _COLUMNS}
        for file in self._paths.values():
            file.touch()

    def add(self, item: Item) -> None:
        """Append one item."""
        match item:
            case Runs():
                self._add_runs(item)
            case MapCall(vpn, pages, prot, contents, shared):
                flags = (_MAP_SHARED_FIXED if shared else _MAP_PRIVATE_FIXED) | (0 if contents else MAP_ANONYMOUS)
                address = vpn << PAGE_SHIFT
                args = [address, pages << PAGE_SHIFT, prot, flags, 0 if contents else _NO_FILE, 0]
                self._calls.append((self.records, SYS_MMAP, args, address))
            case UnmapCall(vpn, pages):
                args = [vpn << PAGE_SHIFT, pages << PAGE_SHIFT, 0, 0, 0, 0]
                self._calls.append((self.records, SYS_MUNMAP, args, 0))
            case MoveCall(vpn, pages, to_vpn):
                size, address = pages << PAGE_SHIFT, to_vpn << PAGE_SHIFT
                args = [vpn << PAGE_SHIFT, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, address, 0]
                self._calls.append((self.records, SYS_MREMAP, args, address))
            case ProtectCall(vpn, pages, prot):
                args = [vpn << PAGE_SHIFT, pages << PAGE_SHIFT, prot, 0, 0, 0]
                self._calls.append((self.records, SYS_MPROTECT, args, 0))

    def _add_runs(self, runs: Runs) -> None:
        vpns, inverse = np.unique(runs.vpn, return_inverse=True)
        order = np.array([self._index.setdefault(vpn, len(self._index)) for vpn in vpns.tolist()], np.uint32)
        columns: dict[str, Any] = {
            "page": order[inverse],
            "flags": (runs.flags & ~np.uint8(FILL)).astype(np.uint8),
            "count": np.minimum(runs.count, MAX_COUNT).astype(np.uint32),
        }
        for name, values in columns.items():
            with self._paths[name].open("ab") as file:
                file.write(values.tobytes())
        self.records += len(runs.vpn)
        if self.records > MAX_COUNT:
            raise TraceFormatError("", f"record {MAX_COUNT}", "the canonical form holds no more than 2**32 - 1 records")

    def write(self, archive: zipfile.ZipFile) -> None:
        """Write all members."""
        touched = np.fromiter(self._index, np.uint64, len(self._index))
        vpns = np.sort(touched)
        rank = np.searchsorted(vpns, touched).astype(np.uint16 if len(vpns) <= 1 << 16 else np.uint32)
        _write_array(archive, "format_version", np.array([FORMAT_VERSION], np.uint32))
        _write_array(archive, "vpn", vpns)
        for name, dtype in _COLUMNS:
            stored = rank.dtype if name == "page" else np.dtype(dtype)
            with _member(archive, name) as out, self._paths[name].open("rb") as file:
                _write_header(out, stored, (self.records,))
                while len(values := np.frombuffer(file.read(_COPY_ROWS * np.dtype(dtype).itemsize), dtype)):
                    out.write((rank[values] if name == "page" else values).tobytes())
        _write_array(archive, "sys_at", np.array([c[0] for c in self._calls], np.uint32))
        _write_array(archive, "sys_no", np.array([c[1] for c in self._calls], np.uint16))
        _write_array(archive, "sys_args", np.array([c[2] for c in self._calls], np.uint64).reshape(-1, 6))
        _write_array(archive, "sys_ret", np.array([c[3] for c in self._calls], np.uint64))
        _write_array(archive, "vma0", np.zeros((0, 3), np.uint64))


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_LZMA
    info.external_attr = 0o644 << 16
    return archive.open(info, "w", force_zip64=True)


def _write_header(out: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    )
    out.write(header.getvalue())


def _write_array(archive: zipfile.ZipFile, name: str, array: Any) -> None:
    with _member(archive, name) as out:
        _write_header(out, array.dtype, array.shape)
        out.write(array.tobytes())
