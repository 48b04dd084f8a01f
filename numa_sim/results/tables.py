"""Time series and events as Arrow tables, and those as Parquet of always the same bytes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from numa_sim.observe.access_map import ACCESS_COLUMNS, NR_ACCESSES, AccessMap
from numa_sim.observe.fault_rows import fault_histogram
from numa_sim.observe.result import RunResult, Snapshot
from numa_sim.observe.sampler import Column, Series, TimeSeries
from numa_sim.observe.timeline import COLUMNS, DETAILS, KINDS, Timeline
from numa_sim.state.constants import PAGE_SIZE
from numa_sim.state.event_codes import EVENTS
from numa_sim.state.kernel import Kernel

__all__ = [
    "MEAN_COLUMNS",
    "access_table",
    "buddy_table",
    "cpu_table",
    "disk_table",
    "event_table",
    "fault_table",
    "node_table",
    "parquet_bytes",
    "proc_table",
    "read_parquet",
    "recordings",
    "span_table",
    "swap_table",
    "timeline_of",
]

MEAN_COLUMNS = (
    Column("mean_latency_ns", "ns", "mean latency of a memory access since the last sample, queueing included"),
    Column("mean_queue_ns", "ns", "the part of mean_latency_ns that is queueing"),
)
"""Columns of the node table that are derived: null where the node's CPUs accessed no memory."""


def node_table(series: TimeSeries) -> Any:
    """One row per (sample, node): `NODE_COLUMNS` as int64, then `MEAN_COLUMNS` as float64.

    Returns
    -------
    pyarrow.Table
        Each field's metadata holds its ``unit`` and ``description``.
    """
    latency, queue, known = series.interval_means()
    means = [_column(values, known) for values in (latency, queue)]
    return _table((*series.nodes.columns, *MEAN_COLUMNS), [*_columns(series.nodes.rows), *means])


def swap_table(series: TimeSeries) -> Any:
    """One row per (sample, swap area), as a pyarrow.Table of int64."""
    return _series_table(series.swap)


def disk_table(series: TimeSeries) -> Any:
    """One row per (sample, disk), as a pyarrow.Table of int64."""
    return _series_table(series.disks)


def cpu_table(series: TimeSeries) -> Any:
    """One row per (sample, CPU), as a pyarrow.Table of int64."""
    return _series_table(series.cpus)


def buddy_table(series: TimeSeries) -> Any:
    """One row per (sample, zone, order), as a pyarrow.Table of int64; None if it was not recorded."""
    return None if series.buddy is None else _series_table(series.buddy)


def fault_table(result: RunResult) -> Any:
    """Histogram of how long faults took: a row per (task, kind, time span); None without ``run.fault_latency``."""
    import pyarrow as pa

    if not result.kernel.vm[0].fault_latency:
        return None
    rows = fault_histogram(result.kernel, [(row.name, row.task) for row in result.tasks])
    tasks, kinds, *numbers = zip(*rows, strict=True) if rows else ((),) * 5
    texts = [pa.array(values, pa.string()) for values in (tasks, kinds)]
    return _table(_FAULT_COLUMNS, [*texts, *(_column(np.array(values, np.int64)) for values in numbers)])


def recordings(result: RunResult) -> dict[str, Any]:
    """Tables made only on request, by the names of their files in a run folder, as far as this run has them."""
    every = {
        "timeseries-buddy": buddy_table(result.timeseries),
        "fault-latency": fault_table(result),
        "access-map": access_table(result.access_map),
        "spans": None if result.timeline is None else span_table(result.timeline),
    }
    return {name: table for name, table in every.items() if table is not None}


_FAULT_COLUMNS = (
    Column("task", "", "name of the task"),
    Column("kind", "", "what the fault was for: anonymous, file, swap, copy_on_write"),
    Column("low_ns", "ns", "shortest time of the span"),
    Column("high_ns", "ns", "longest time of the span"),
    Column("count", "1", "faults that took so long"),
)


def event_table(k: Kernel) -> Any:
    """Recorded events in their order, as a pyarrow.Table; ``event`` is one of `EVENTS` (mostly kernel functions).

    The table's metadata says how many happened (``event_count``); more than it holds if the buffer was too small.
    """
    import pyarrow as pa

    used = int(k.vm[0].events_used)
    events = k.events[:used].view(np.ndarray)
    columns = (
        Column("t_ns", "ns", "simulated time"),
        Column("task", "1", "index of the current task, -1 = none"),
        Column("event", "", "what happened"),
        Column("a", "1", "first operand, see the rule that logs the event"),
        Column("b", "1", "second operand"),
    )
    names = pa.DictionaryArray.from_arrays(pa.array(events["code"], pa.int32()), pa.array(EVENTS))
    arrays = [
        _column(events["t_ns"]),
        _column(events["task"]),
        names,
        _column(events["a"]),
        _column(events["b"]),
    ]
    return _table(columns, arrays, {"event_count": str(int(k.vm[0].event_count))})


def access_table(accesses: AccessMap | None) -> Any:
    """One row per (bin, task, region accessed), as a pyarrow.Table: `ACCESS_COLUMNS`, and ``nr_accesses`` as float64.

    The table's metadata says ``sample_ns``, ``aggregate_ns`` and ``region_bytes``.  None if no map was recorded.
    """
    if accesses is None:
        return None
    rows = accesses.rows.rows
    arrays = [*_columns(rows[:, : len(ACCESS_COLUMNS)]), _column(rows[:, -1] / (accesses.region_bytes // PAGE_SIZE))]
    asked = {name: str(getattr(accesses, name)) for name in ("sample_ns", "aggregate_ns", "region_bytes")}
    return _table((*ACCESS_COLUMNS, NR_ACCESSES), arrays, asked)


def proc_table(snapshots: Sequence[Snapshot]) -> Any:
    """Texts of /proc taken on the way, one row per (time, file), as a pyarrow.Table."""
    import pyarrow as pa

    rows = [(snapshot.t_ns, name, text) for snapshot in snapshots for name, text in snapshot.texts.items()]
    times, names, texts = zip(*rows, strict=True) if rows else ((), (), ())
    columns = (
        Column("t_ns", "ns", "simulated time"),
        Column("file", "", "name of the file"),
        Column("text", "", "what it said"),
    )
    return _table(
        columns, [_column(np.array(times, np.int64)), pa.array(names, pa.string()), pa.array(texts, pa.string())]
    )


def span_table(timeline: Timeline) -> Any:
    """One row per span, in order of their begin: pyarrow.Table of `COLUMNS`; ``kind`` and ``detail`` are words.

    The table's metadata (``timeline``, JSON) says which window was recorded and what is missing.
    """
    import pyarrow as pa

    words = {"kind": KINDS, "detail": DETAILS}
    arrays = [
        pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int32)), pa.array(words[column.name]))
        if column.name in words
        else _column(values)
        for column, values in zip(COLUMNS, timeline.rows.T, strict=True)
    ]
    about = {
        "daemons": {str(task): name for task, name in sorted(timeline.daemons.items())},
        "from_ns": timeline.from_ns,
        "until_ns": timeline.until_ns,
        "cut_ns": timeline.cut_ns,
        "dropped": timeline.dropped,
        "lost_events": timeline.lost_events,
    }
    return _table(COLUMNS, arrays, {"timeline": json.dumps(about, sort_keys=True)})


def timeline_of(table: Any) -> Timeline:
    """The timeline that a table of `span_table` holds."""
    about = json.loads(table.schema.metadata[b"timeline"])
    daemons = {int(task): name for task, name in about.pop("daemons").items()}
    words = {"kind": KINDS, "detail": DETAILS}
    rows = np.empty((table.num_rows, len(COLUMNS)), np.int64)
    for i, column in enumerate(COLUMNS):
        values = table[column.name].combine_chunks()
        if column.name in words:
            number = {word: n for n, word in enumerate(words[column.name])}
            numbers = np.array([number[word] for word in values.dictionary.to_pylist()], np.int64)
            rows[:, i] = numbers[values.indices.to_numpy()]
        else:
            rows[:, i] = values.to_numpy()
    return Timeline(rows, daemons, **about)


def parquet_bytes(table: Any) -> bytes:
    """Parquet file of an Arrow table; the same table gives the same bytes (no times, no random ids in it)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", version="2.6", row_group_size=1 << 20)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def read_parquet(content: bytes) -> Any:
    """Arrow table of a Parquet file's bytes; ValueError if it cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # read_table would import pandas; Arrow's threads now and then abort a process that ends soon after.
        return pq.ParquetFile(pa.BufferReader(content), pre_buffer=False).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error)) from error


def _series_table(series: Series) -> Any:
    return _table(series.columns, _columns(series.rows))


def _table(columns: tuple[Column, ...], arrays: list[Any], metadata: dict[str, str] | None = None) -> Any:
    import pyarrow as pa

    schema = _schema(columns, tuple(array.type for array in arrays))
    if metadata:
        schema = schema.with_metadata({**schema.metadata, **metadata})
    return pa.Table.from_arrays(arrays, schema=schema)


@cache
def _schema(columns: tuple[Column, ...], types: tuple[Any, ...]) -> Any:
    """An Arrow schema; making one takes longer than all else of a small table."""
    import pyarrow as pa

    fields = [
        pa.field(column.name, kind, metadata={"unit": column.unit, "description": column.about})
        for column, kind in zip(columns, types, strict=True)
    ]
    return pa.schema(fields, metadata={"format_version": "1"})


def _columns(rows: Any) -> list[Any]:
    """Columns of int64 [rows, columns] as Arrow arrays, parts of one."""
    n, columns = rows.shape
    whole = _column(rows.T.ravel())
    return [whole.slice(i * n, n) for i in range(columns)]


def _column(values: Any, known: Any = None) -> Any:
    """An Arrow array of int64 or float64 over `values`; null where `known` is false.

    Made from buffers: ``pyarrow.array`` imports pandas, if it is installed, only to ask whether it is one of its types.
    """
    import pyarrow as pa

    dtype = np.float64 if values.dtype == np.float64 else np.int64
    data = np.ascontiguousarray(values, dtype)
    valid = None if known is None else pa.py_buffer(np.packbits(known, bitorder="little"))
    kind = pa.float64() if dtype is np.float64 else pa.int64()
    return pa.Array.from_buffers(kind, len(data), [valid, pa.py_buffer(data)])
