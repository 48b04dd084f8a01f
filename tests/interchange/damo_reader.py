"""A reader of damo's record files written from the description of their format alone.

damo (github.com/damonitor/damo) stores a JSON list of records; each has ``kdamond_idx``, ``context_idx``, ``intervals``
(``sample_us``, ``aggr_us``, ``ops_update_us``), ``scheme_idx``, ``target_id``, ``scheme_filters`` and ``snapshots``;
a snapshot has ``start_time``, ``end_time`` (ns), ``regions`` and ``total_bytes``; a region ``start``, ``end``,
``nr_accesses`` (``samples`` or ``percent``), ``age`` (``usec`` or ``aggr_intervals``), ``sz_filter_passed``.  Written
for machines, numbers are texts of digits (but for samples).  It reads all at once and knows nothing of numa_sim.
"""

import json
import zlib
from dataclasses import dataclass


@dataclass
class Region:
    start: int
    end: int
    samples: int
    age: int


@dataclass
class Snapshot:
    start_ns: int
    end_ns: int
    regions: list[Region]


@dataclass
class Record:
    target: int
    sample_us: int
    aggr_us: int
    snapshots: list[Snapshot]


def read(content: bytes) -> list[Record]:
    if content[:1] == b"\x78":
        content = zlib.decompress(content)
    records = []
    for record in json.loads(content.decode()):
        assert list(record) == [
            "kdamond_idx", "context_idx", "intervals", "scheme_idx", "target_id", "scheme_filters", "snapshots",
        ]  # fmt: skip
        assert set(record["intervals"]) >= {"sample_us", "aggr_us", "ops_update_us"}
        snapshots = []
        for one in record["snapshots"]:
            assert list(one) == ["start_time", "end_time", "regions", "total_bytes"]
            regions = []
            for region in one["regions"]:
                assert list(region) == ["start", "end", "nr_accesses", "age", "sz_filter_passed"]
                assert region["nr_accesses"]["percent"] is None
                assert region["age"]["usec"] is None
                assert int(region["sz_filter_passed"]) == 0
                regions.append(
                    Region(
                        int(region["start"]),
                        int(region["end"]),
                        region["nr_accesses"]["samples"],
                        int(region["age"]["aggr_intervals"]),
                    )
                )
            assert int(one["total_bytes"]) == sum(region.end - region.start for region in regions)
            snapshots.append(Snapshot(int(one["start_time"]), int(one["end_time"]), regions))
        intervals = record["intervals"]
        records.append(Record(record["target_id"], int(intervals["sample_us"]), int(intervals["aggr_us"]), snapshots))
    return records
