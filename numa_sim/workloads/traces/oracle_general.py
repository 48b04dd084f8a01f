"""Reader of libCacheSim's oracleGeneral traces: cache requests, replayed as page accesses.

Records of 24 bytes, little-endian, without a header: u32 time (s), u64 object id, u32 size (bytes), i64 number of the
object's next request (-1 = none).  Each object becomes one page: the i-th object seen is page ``FIRST_VPN + i``.  A
request reads the cache lines of the object's size, at most a page; an object's first request writes it (the miss that
fetched it).  Requests of size 0 are left out, as all of libCacheSim's tools do (``ignore_size_zero_req`` of its
reader).  Time and next request are not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from numa_sim.errors import TraceFormatError
from numa_sim.state.constants import LINE_BYTES
from numa_sim.workloads.patterns.source import MAX_LINES
from numa_sim.workloads.traces.growing_map import GrowingMap
from numa_sim.workloads.traces.items import CHUNK, READ, Item, Runs, touching_flags

RECORD = np.dtype([("time", "<u4"), ("id", "<u8"), ("size", "<u4"), ("next", "<i8")])
FIRST_VPN = 1 << 18
"""Page of the first object: address 1 GiB."""
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def read_oracle_general(path: Path, *, instructions: bool = True) -> Iterator[Item]:
    """Yield mappings and runs of an uncompressed oracleGeneral trace.

    Needs memory for each distinct object (about 100 bytes), not for each request.

    Parameters
    ----------
    path : Path
        The trace; distributed ones are compressed with zstd and must be unpacked first.
    instructions : bool
        Without meaning here; every reader takes it.

    Raises
    ------
    TraceFormatError
        A record is cut short or impossible.
    """
    mappings = GrowingMap(touching_flags(instructions))
    objects: dict[int, int] = {}
    at_byte = 0
    try:
        with path.open("rb") as file:
            while data := file.read(RECORD.itemsize * CHUNK):
                if at_byte == 0 and data[:4] == _ZSTD_MAGIC:
                    raise TraceFormatError(path, "byte 0", "is compressed with zstd: unpack it first")
                runs = _chunk(path, at_byte, data, objects)
                at_byte += len(data)
                yield from mappings.observe(runs)
                yield runs
    except OSError as problem:
        raise TraceFormatError(path, f"byte {at_byte}", f"cannot be read: {problem.strerror}") from None


def _chunk(path: Path, at_byte: int, data: bytes, objects: dict[int, int]) -> Runs:
    if extra := len(data) % RECORD.itemsize:
        where = f"byte {at_byte + len(data) - extra}"
        raise TraceFormatError(path, where, f"record is cut short: {extra} of {RECORD.itemsize} bytes")
    records = np.frombuffer(data, RECORD)
    wrong = np.flatnonzero(records["next"] < -1)
    if len(wrong):
        where = f"byte {at_byte + int(wrong[0]) * RECORD.itemsize}"
        raise TraceFormatError(path, where, f"next request {records['next'][wrong[0]]} is below -1")
    records = records[records["size"] > 0]
    ids, first, inverse = np.unique(records["id"], return_index=True, return_inverse=True)
    pages = np.empty(len(ids), np.int64)
    for i in np.argsort(first).tolist():
        pages[i] = objects.setdefault(int(ids[i]), len(objects))
    lines = (records["size"].astype(np.int64) + LINE_BYTES - 1) // LINE_BYTES
    return Runs(FIRST_VPN + pages[inverse], np.clip(lines, 1, MAX_LINES), np.full(len(records), READ, np.uint8))
