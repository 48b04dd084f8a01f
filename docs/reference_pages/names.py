"""Pages of names: counters, parts of time, events, and the columns of the tables in a run folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from numa_sim.observe.access_map import ACCESS_COLUMNS, NR_ACCESSES
from numa_sim.observe.events import OPERANDS
from numa_sim.observe.meanings import COUNTERS, EVENT_MEANINGS, PARTS
from numa_sim.observe.sampler import CPU_COLUMNS, DISK_COLUMNS, NODE_COLUMNS, SWAP_COLUMNS, Column
from numa_sim.results.pictures import ALL
from numa_sim.results.sweep_columns import DESIGN_COLUMNS, METRIC_COLUMNS, NODE_FIGURES, TASK_FIGURES, Figure
from numa_sim.results.tables import MEAN_COLUMNS
from numa_sim.state.counters import TIME_PARTS, VMSTAT
from numa_sim.state.event_codes import EVENTS

_COUNTERS = """# Counters, times and events

## Counters of a node

Counted per node since boot.  They are in `summary.json` (`nodes[].vmstat`), in the time series and in `/proc/vmstat`.
Where the kernel has a counter of this name, it means the same; kernels of 2.2 and 2.4 count few of them, so the rules
are those of later kernels.

"""
_PARTS = """
## Parts of a task's time

Every instant of a task belongs to exactly one part, and the parts sum exactly to its run time (`tasks[].parts_ns` of
the summary).

"""
_EVENTS = """
## Events

What `run.record_events` records and `numa-sim events RUN` prints, in the order in which it happened.  The event hash
is taken over all of them, recorded or not.  Operands: `pfn` a page frame, `vpn` a virtual page, `entry` a swap entry,
`row` a row of the table of page tables, others by their index.

"""
_COLUMNS = """# Columns of tables

## In a run folder

Each time series is a Parquet file with one row per sample and thing sampled; every column carries its unit
and meaning as metadata.  Numbers "since boot" only grow: take differences between rows.  `Run.to_pandas()` gives the
first table.
"""

_PICTURES = """# List of pictures

Each returns the matplotlib `Axes` it has drawn into: new ones, or those it is given (`ax=...`).  `run.plot()` is the
overview.  [How to use them](../../howto/pictures.md).

"""
_SWEEP = """
## Of a sweep

`open_sweep(folder)` gives the table of all its runs; names are stable, columns may be added.  Besides these there is a
column for each factor, by its path or label.
"""


def names_pages() -> dict[str, str]:
    """The pages ``names.md`` and ``columns.md``."""
    events = {
        name: f"{text} ({', '.join(OPERANDS[name])})" if OPERANDS.get(name) else text
        for name, text in explained(EVENTS[1:], EVENT_MEANINGS, "event").items()
    }
    names = (
        _COUNTERS + table("counter", explained(VMSTAT, COUNTERS, "counter"))
        + _PARTS + table("part", explained(TIME_PARTS, PARTS, "part"))
        + _EVENTS + table("event", events)
    )  # fmt: skip
    columns = _COLUMNS + "".join(
        f"\n### `{file}`: one row per {rows}\n\n" + column_table(columns)
        for file, rows, columns in (
            ("timeseries.parquet", "sample and node", (*NODE_COLUMNS, *MEAN_COLUMNS)),
            ("timeseries-cpu.parquet", "sample and CPU", CPU_COLUMNS),
            ("timeseries-swap.parquet", "sample and swap area", SWAP_COLUMNS),
            ("timeseries-disk.parquet", "sample and disk", DISK_COLUMNS),
            ("access-map.parquet", "bin, task and region accessed", (*ACCESS_COLUMNS, NR_ACCESSES)),
        )
    )
    sweep = _SWEEP + "".join(
        f"\n### {title}\n\n" + column_table(figures)
        for title, figures in (
            ("`results.parquet`: one row per run", [Column(*column[:3]) for column in DESIGN_COLUMNS]),
            ("... and its metrics", METRIC_COLUMNS),
            ("`Sweep.nodes`: one row per run and node", NODE_FIGURES),
            ("`Sweep.tasks`: one row per run and task", TASK_FIGURES),
        )
    )
    return {"names.md": names, "columns.md": columns + sweep, "pictures.md": pictures_page()}


def pictures_page() -> str:
    """Table of every picture, by what it is drawn from."""
    called = {"run": "run.plot.{}()", "runs": "pictures.{}.plot((a, b))", "sweep": "sweep.plot.{}(...)"}
    rows = "".join(
        f"| `{called[each.source].format(each.name)}` | {each.about} | {each.needs and f'`{each.needs}`'} |\n"
        for each in ALL.values()
    )
    return _PICTURES + "| picture | shows | needs |\n|---|---|---|\n" + rows


def explained(names: Sequence[str], meanings: Mapping[str, str], what: str) -> dict[str, str]:
    """Meaning of every name, in the order of `names`.

    Raises
    ------
    ValueError
        A name without a meaning, or a meaning of nothing.
    """
    if set(names) != set(meanings):
        differ = sorted(set(names) ^ set(meanings))
        raise ValueError(f"{what}: numa_sim/observe/meanings.py must explain each name, and no other: {differ}")
    return {name: meanings[name] for name in names}


def table(head: str, rows: Mapping[str, str]) -> str:
    """Markdown table of names and meanings."""
    return f"| {head} | |\n|---|---|\n" + "".join(f"| `{name}` | {text} |\n" for name, text in rows.items())


def column_table(columns: Iterable[Column | Figure]) -> str:
    """Markdown table of columns; counters are named once and explained on their own page."""
    rows, counters = [], []
    for column in columns:
        if column.name in COUNTERS:
            counters.append(column.name)
        else:
            rows.append(f"| `{column.name}` | {column.unit} | {column.about} |\n")
    tail = "\nAnd every [counter](names.md) of the node, by its name.\n" if counters else ""
    return "| column | unit | |\n|---|---|---|\n" + "".join(rows) + tail
