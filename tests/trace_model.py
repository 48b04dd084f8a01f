"""What is true of every trace: a plain model of mappings that the readers' items are checked against."""

import numpy as np

from numa_sim.workloads.traces import MapCall, MoveCall, ProtectCall, Runs, UnmapCall, Wait


def check_items(items):
    """Check that every access lies in a mapping of its time; return the runs as (vpn, count, flags) tuples."""
    mapped = []
    runs = []
    waited = 0
    for item in items:
        if isinstance(item, MapCall):
            assert item.pages > 0
            assert item.vpn >= 0
            assert item.vpn + item.pages <= 1 << 35
            assert not any(item.vpn < end and start < item.vpn + item.pages for start, end in mapped)
            mapped.append((item.vpn, item.vpn + item.pages))
        elif isinstance(item, MoveCall):
            low, high, by = item.vpn, item.vpn + item.pages, item.to_vpn - item.vpn
            assert item.pages > 0
            assert any(start <= low and high <= end for start, end in _joined(mapped))
            assert not any(start < high + by and low + by < end for start, end in mapped)
            moved = [(max(start, low) + by, min(end, high) + by) for start, end in mapped if start < high and low < end]
            mapped = moved + [
                part
                for start, end in mapped
                for part in ((start, min(end, low)), (max(start, high), end))
                if part[0] < part[1]
            ]
        elif isinstance(item, UnmapCall):
            assert item.pages > 0
            low, high = item.vpn, item.vpn + item.pages
            inside = sum(max(0, min(end, high) - max(start, low)) for start, end in mapped)
            assert inside == item.pages
            mapped = [
                part
                for start, end in mapped
                for part in ((start, min(end, low)), (max(start, high), end))
                if part[0] < part[1]
            ]
        elif isinstance(item, ProtectCall):
            assert sum(max(0, min(end, item.vpn + item.pages) - max(start, item.vpn)) for start, end in mapped)
        elif isinstance(item, Wait):
            assert item.until_ns >= waited
            waited = item.until_ns
        else:
            assert isinstance(item, Runs)
            for vpn in np.unique(item.vpn).tolist():
                assert any(start <= vpn < end for start, end in mapped), hex(vpn)
            assert (item.count >= 1).all()
            runs += zip(item.vpn.tolist(), item.count.tolist(), item.flags.tolist(), strict=True)
    return runs


def _joined(ranges):
    joined = []
    for start, end in sorted(ranges):
        if joined and joined[-1][1] == start:
            start = joined.pop()[0]
        joined.append((start, end))
    return joined
