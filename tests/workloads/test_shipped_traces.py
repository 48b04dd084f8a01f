"""The traces shipped with the project."""

from pathlib import Path

import numpy as np
import pytest
from trace_model import check_items

from numa_sim.compiled import COMPILED
from numa_sim.workloads.patterns.source import new_accesses
from numa_sim.workloads.program import Compute, Mmap, Munmap, TaskHandle, Touch
from numa_sim.workloads.traces import MapCall, Runs, UnmapCall, describe, import_trace, read_items, trace_program
from numa_sim.workloads.traces.items import WRITE

FOLDER = Path(__file__).parents[2] / "configs" / "traces"
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))
pytestmark = pytest.mark.skipif(not COMPILED, reason="millions of records")

# records, accesses, pages, pages not touched by fetches alone, pages written: as counted when they were recorded
RECORDED = {
    "graph-bfs-pagerank": (2032154, 52716421, 1914, 1823, 1767),
    "sort-text": (1166572, 255279132, 2891, 2782, 2721),
    "sqlite-query": (343333, 473856499, 14128, 13824, 907),
}


def test_these_are_all():
    assert set(NAMES) == set(RECORDED)


@pytest.mark.parametrize("name", NAMES)
def test_counts(name):
    found = describe(FOLDER / f"{name}.npz")
    assert RECORDED[name] == tuple(
        found[key] for key in ("records", "accesses", "pages", "data_pages", "written_pages")
    )
    assert (FOLDER / f"{name}.npz").stat().st_size < 2_700_000


@pytest.mark.parametrize("name", NAMES)
def test_every_page_is_mapped_when_touched(name):
    def pages_only(items):
        for item in items:
            if isinstance(item, Runs):
                vpn = np.unique(item.vpn)
                item = Runs(vpn, np.ones(len(vpn)), np.ones(len(vpn)))
            yield item

    assert check_items(pages_only(read_items(FOLDER / f"{name}.npz")))


@pytest.mark.parametrize("name", NAMES)
def test_replay_gives_the_trace(name):
    """Time, accesses and mappings of the program equal the trace's own."""
    buffer = new_accesses(4096)
    given, compute_ns, mapped, unmapped = 0, 0, 0, 0
    for op in trace_program(FOLDER / f"{name}.npz", cache_hit_ns=2)(TaskHandle("t", 1)):
        match op:
            case Touch():
                while n := op.source.fill(buffer):
                    given += n
                    compute_ns += int(buffer["compute_ns"][:n].sum())
            case Mmap():
                mapped += op.size_pages
            case Munmap():
                unmapped += op.length_pages
            case Compute(ns):
                compute_ns += ns
    assert (given, compute_ns) == (RECORDED[name][0], 2 * RECORDED[name][1])
    items = list(read_items(FOLDER / f"{name}.npz"))
    assert mapped == sum(item.pages for item in items if isinstance(item, MapCall))
    assert unmapped == sum(item.pages for item in items if isinstance(item, UnmapCall))


def test_import_of_a_shipped_trace(tmp_path):
    source = FOLDER / "sqlite-query.npz"
    import_trace("numa_sim", source, tmp_path / "again.npz")
    columns = (
        [np.concatenate(c) for c in zip(*(i for i in read_items(path) if isinstance(i, Runs)), strict=True)]
        for path in (source, tmp_path / "again.npz")
    )
    assert all(np.array_equal(a, b) for a, b in zip(*columns, strict=True))
    assert describe(tmp_path / "again.npz") | {"file": ""} == describe(source) | {"file": ""}


def test_write_share():
    flags = np.concatenate([i.flags for i in read_items(FOLDER / "sort-text.npz") if isinstance(i, Runs)])
    assert np.mean(flags & WRITE != 0) == pytest.approx(0.145, abs=0.001)
