"""Damaged traces: accesses or a TraceFormatError, nothing else."""

import gzip
import struct
import zipfile

import numpy as np
import pytest
from trace_model import check_items

from numa_sim.errors import TraceFormatError
from numa_sim.workloads.traces import MapCall, Runs, UnmapCall, read_items, write_canonical

LACKEY = b"".join(
    b"%s%08x,%d\n" % (k, i * 1111 % 90_000, i % 9 + 1) for i in range(30) for k in (b"I  ", b" L ", b" S ")
)
CSV = b"op,address,count\n" + b"".join(b"%s,0x%x,%d\n" % (b"rw"[i % 2 :][:1], i * 999, i + 1) for i in range(40))
ORACLE = b"".join(struct.pack("<IQIq", i, i % 7, i * 100, -1) for i in range(40))


def small_canonical(folder, compression):
    """A small trace with every kind of member filled, stored or compressed."""
    n = 50
    runs = Runs(np.arange(n, dtype=np.int64) % 9 + 64, np.arange(1, n + 1), np.full(n, 3, np.uint8))
    write_canonical(folder / "a.npz", [MapCall(64, 9, 3, True), runs, UnmapCall(64, 5), MapCall(64, 5), runs])
    arrays = dict(np.load(folder / "a.npz"))
    arrays["vma0"] = np.array([[0x1000, 0x3000, 5], [0x9000, 0xB000, 3]], "<u8")
    with zipfile.ZipFile(folder / "b.npz", "w", compression) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    return (folder / "b.npz").read_bytes()


def mutated(data, rng):
    """`data` with some bytes changed, cut, doubled or put in."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(data) + 1))
        match int(rng.integers(6)):
            case 0 | 1:
                data[at : at + 1] = bytes([rng.integers(256)])
            case 2:
                data[at : at + 1] = bytes([data[at] ^ 1 << int(rng.integers(8))]) if at < len(data) else b""
            case 3:
                del data[at : at + int(rng.integers(1, 9))]
            case 4:
                data[at:at] = rng.bytes(int(rng.integers(1, 9)))
            case 5 if rng.integers(4) == 0:
                del data[at:]
    return bytes(data)


def read_damaged(path, data, format):
    """Read; return whether it went well; the error of what did not names the file."""
    path.write_bytes(data)
    try:
        check_items(read_items(path, format))
    except TraceFormatError as problem:
        return not str(problem).startswith(f"{path}: ")
    return True


@pytest.mark.parametrize("kind", ["stored", "lzma", "lackey", "gzip", "csv", "oracleGeneral"])
def test_mutations(tmp_path, kind):
    path = tmp_path / "fuzz"
    data, format = {
        "stored": lambda: (small_canonical(tmp_path, zipfile.ZIP_STORED), "numa_sim"),
        "lzma": lambda: (small_canonical(tmp_path, zipfile.ZIP_LZMA), "numa_sim"),
        "lackey": lambda: (LACKEY, "lackey"),
        "gzip": lambda: (gzip.compress(LACKEY), "lackey"),
        "csv": lambda: (CSV, "csv"),
        "oracleGeneral": lambda: (ORACLE, "oracleGeneral"),
    }[kind]()
    assert read_damaged(path, data, format)
    rng = np.random.default_rng(11)
    refused = sum(not read_damaged(path, mutated(data, rng), format) for _ in range(600))
    assert 50 < refused <= 600


@pytest.mark.parametrize("format", ["numa_sim", "lackey", "csv", "oracleGeneral"])
def test_noise(tmp_path, format):
    rng = np.random.default_rng(12)
    path = tmp_path / "noise"
    for i in range(200):
        start = [b"", b"PK\x03\x04", b"\x1f\x8b", b"page\n"][i % 4]
        length = int(rng.integers(1, 300))
        read = read_damaged(path, start + rng.bytes(length), format)
        # Any 24 bytes are a request of oracleGeneral; of the other formats noise is none.
        assert not read or (format == "oracleGeneral" and (len(start) + length) % 24 == 0), f"case {i}"


def test_well_formed_archives_of_wild_numbers(tmp_path):
    """Valid zip, valid headers, any values: the checks of the numbers themselves."""
    rng = np.random.default_rng(13)
    addresses = np.array([0, 0x1000, 0x2000, 0x3000, 0x8000, 0x1001, 2**47 - 4096, 2**47, 2**63, 2**64 - 1, 5], "<u8")
    good = 0
    for _ in range(800):
        m, n, k, p = (int(rng.integers(high)) for high in (6, 20, 4, 5))
        wild = rng.random() < 0.5
        arrays = {
            "vpn": np.unique(rng.integers(0, 9, p)).astype("<u8"),
            "page": rng.integers(0, max(p, 1) + wild, n).astype("<u2"),
            "flags": rng.integers(1 - wild, 8 + wild, n).astype("u1"),
            "count": rng.integers(1 - wild, 5, n).astype("<u4"),
            "sys_at": np.sort(rng.integers(0, n + 1, m)).astype("<u4"),
            "sys_no": rng.choice([9, 10, 11, 12, 25, 28, 56, *[1] * wild], m).astype("<u2"),
            "sys_args": rng.choice(addresses if wild else addresses[:5], (m, 6)),
            "sys_ret": rng.choice(addresses if wild else addresses[:5], m),
            "vma0": np.array([[0, 0x9000, 3]] if k else np.zeros((0, 3)), "<u8"),
        }
        np.savez(tmp_path / "source.npz", **arrays)
        good += read_damaged(tmp_path / "fuzz", (tmp_path / "source.npz").read_bytes(), "numa_sim")
    assert 50 < good < 750
