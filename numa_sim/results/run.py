"""A run to look at: read back from its folder, or straight from memory."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from numa_sim.errors import RunFolderError
from numa_sim.observe.result import RunResult
from numa_sim.results import tables
from numa_sim.results.durable import existing_folder
from numa_sim.results.formats import manifest_as_now, unknown_version
from numa_sim.results.frames import frame_library
from numa_sim.results.manifest import MANIFEST, SUMMARY, TOPOLOGY
from numa_sim.results.readable import readable_count, readable_ns
from numa_sim.results.summary import summarise
from numa_sim.results.summary_tables import headline
from numa_sim.results.sweep_folder import what_it_is
from numa_sim.topology import Topology, from_document

if TYPE_CHECKING:
    from numa_sim.results.pictures import Plots
    from numa_sim.results.steady import SteadyMean

__all__ = ["Run", "open_run"]

_RECORDED_WITH: Final = {
    "timeseries-buddy": 'run.observe = ["buddy"]',
    "fault-latency": "run.fault_latency = true",
    "access-map": 'run.observe = ["access_map"]',
    "events": "run.record_events",
    "proc": "run.snapshot",
    "spans": "run.timeline = true",
}
"""What asks for a table that not every run has."""


class Run:
    """One run's summary, tables and pictures.

    Made by `open_run` from a folder, or by `Run.of` from a finished run.

    Attributes
    ----------
    manifest : dict
        ``manifest.json``, in the newest form (`numa_sim.results.formats`); empty for a run in memory.
    summary : dict
        See `numa_sim.results.summary.summarise`.
    folder : Path or None
        Where it was read from.
    """

    def __init__(
        self,
        manifest: dict[str, Any],
        summary: dict[str, Any],
        table: Callable[[str], Any],
        folder: Path | None = None,
        topology: Topology | None = None,
    ) -> None:
        self.manifest = manifest
        self.summary = summary
        self.folder = folder
        self._topology = topology
        self._table = table
        self._tables: dict[str, Any] = {}

    @classmethod
    def of(cls, result: RunResult) -> Run:
        """Return the run of a result in memory."""
        makers: dict[str, Callable[[], Any]] = {
            "timeseries": lambda: tables.node_table(result.timeseries),
            "timeseries-swap": lambda: tables.swap_table(result.timeseries),
            "timeseries-disk": lambda: tables.disk_table(result.timeseries),
            "timeseries-cpu": lambda: tables.cpu_table(result.timeseries),
            "events": lambda: tables.event_table(result.kernel),
            "proc": lambda: tables.proc_table(result.snapshots),
        }

        def table(name: str) -> Any:
            return makers[name]() if name in makers else tables.recordings(result).get(name)

        return cls({}, summarise(result), table, topology=result.topology)

    def table(self, name: str) -> Any:
        """Return a table by the name of its file, such as ``timeseries-cpu``: pyarrow.Table, read once.

        Raises
        ------
        RunFolderError
            If the folder has none of that name.
        """
        if name not in self._tables:
            table = self._table(name)
            if table is None:
                how = f": record it with {_RECORDED_WITH[name]}" if name in _RECORDED_WITH else ""
                raise RunFolderError(self.folder or "run in memory", f"has no {name}.parquet{how}")
            self._tables[name] = table
        return self._tables[name]

    @property
    def topology(self) -> Topology:
        """The machine as it was simulated; RunFolderError if it was not kept (before format version 2)."""
        if self._topology is None:
            if self.folder is None or not (self.folder / TOPOLOGY).is_file():
                raise RunFolderError(self.folder or "run", f"has no {TOPOLOGY}")
            self._topology = from_document(_read_json(self.folder, TOPOLOGY), str(self.folder / TOPOLOGY))
        return self._topology

    def has(self, name: str) -> bool:
        """Whether there is a table of that name, such as ``access-map``."""
        if self.folder is not None:
            return (self.folder / f"{name}.parquet").is_file()
        return name in self._tables or self._table(name) is not None

    @property
    def timeseries(self) -> Any:
        """One row per (sample, node): pyarrow.Table, see `numa_sim.observe.sampler.NODE_COLUMNS`."""
        return self.table("timeseries")

    @property
    def swap_series(self) -> Any:
        """One row per (sample, swap area): pyarrow.Table."""
        return self.table("timeseries-swap")

    @property
    def disk_series(self) -> Any:
        """One row per (sample, disk): pyarrow.Table."""
        return self.table("timeseries-disk")

    @property
    def cpu_series(self) -> Any:
        """One row per (sample, CPU): pyarrow.Table."""
        return self.table("timeseries-cpu")

    @property
    def buddy_series(self) -> Any:
        """One row per (sample, zone, order): pyarrow.Table; RunFolderError without ``run.observe = ["buddy"]``."""
        return self.table("timeseries-buddy")

    @property
    def fault_histogram(self) -> Any:
        """How many faults took how long: a row per (task, kind, time span); RunFolderError if not recorded."""
        return self.table("fault-latency")

    @property
    def events(self) -> Any:
        """Recorded events in their order: pyarrow.Table; RunFolderError if the folder has none."""
        return self.table("events")

    @property
    def access_map(self) -> Any:
        """Accesses by time and address (``run.observe = ["access_map"]``): pyarrow.Table; RunFolderError if not there.

        One row per (bin, task, region accessed), see `numa_sim.observe.access_map.ACCESS_COLUMNS`.
        """
        return self.table("access-map")

    @property
    def proc(self) -> Any:
        """Texts of /proc taken on the way (``run.snapshot``): pyarrow.Table; RunFolderError if the folder has none."""
        return self.table("proc")

    @property
    def spans(self) -> Any:
        """The timeline (``run.timeline``), a row per span: pyarrow.Table; RunFolderError if the folder has none."""
        return self.table("spans")

    def to_pandas(self, table: str = "timeseries") -> Any:
        """Return a table as a pandas.DataFrame (needs pandas).

        Raises
        ------
        KeyError
            If `table` is none of these.
        ConfigError
            If pandas is not installed.
        """
        known = (
            "timeseries",
            "swap_series",
            "disk_series",
            "cpu_series",
            "buddy_series",
            "fault_histogram",
            "access_map",
            "events",
            "spans",
        )
        if table not in known:
            raise KeyError(f"{table!r}: choose {', '.join(known[:-1])} or {known[-1]}")
        frame_library("pandas")
        return getattr(self, table).to_pandas()

    def steady(self, column: str, node: int | None = None, confidence: float = 0.95) -> SteadyMean:
        """Mean of a column of `timeseries` over the run's steady state, with its interval.

        Parameters
        ----------
        column : str
            A level (pages) as it is, a counter as its rate per second, ``mean_latency_ns`` and ``mean_queue_ns`` per
            access.
        node : int, optional
            Of one node; else all nodes' sum (of the two means: all nodes' accesses).
        confidence : float
            Of the interval.

        Raises
        ------
        StatisticsError
            If there is no such column or node, fewer than 50 samples, or no steady state.

        Notes
        -----
        The warm-up is cut by `numa_sim.statistics.mser5`, the interval is that of
        `numa_sim.statistics.batch_means`; both are of this one run, replicas say more.
        """
        from numa_sim.results.steady import steady_mean

        return steady_mean(self.timeseries, column, node, confidence)

    @property
    def plot(self) -> Plots:
        """Pictures: ``run.plot()`` is the overview, a matplotlib Figure that notebooks show.

        ``run.plot.node_fill()`` and its like draw one picture into new Axes or given ones, see
        `numa_sim.results.pictures`.
        """
        from numa_sim.results.pictures import Plots

        return Plots(self, "run")

    def picture(self) -> bytes:
        """Return the overview as a PNG."""
        return self.plot().png()

    def __repr__(self) -> str:
        where = f" {self.folder}" if self.folder else ""
        return f"<Run{where}: {headline(self.summary)}>"

    def _repr_html_(self) -> str:
        """Headline and node counters, for notebooks."""
        counters = ("numa_hit", "numa_miss", "pgfault", "pgmajfault", "pgsteal_kswapd", "pgsteal_direct", "pswpout")
        head = "".join(f"<th>{name}</th>" for name in ("node", *counters))
        rows = "".join(
            f"<tr><td>{html.escape(node['name'])}</td>"
            + "".join(f"<td>{readable_count(node['vmstat'][name])}</td>" for name in counters)
            + "</tr>"
            for node in self.summary["nodes"]
        )
        parts = self.summary["totals"]["parts_ns"]
        spent = ", ".join(f"{name.replace('_', ' ')} {readable_ns(ns)}" for name, ns in parts.items() if ns)
        return (
            f"<p><b>{html.escape(headline(self.summary))}</b></p><table><thead><tr>{head}</tr></thead>"
            f"<tbody>{rows}</tbody></table><p>Time of all tasks: {spent}</p>"
        )


def open_run(folder: Path | str) -> Run:
    """Open a run folder; its tables are read when they are used.

    It is not compared with its manifest: `numa_sim.results.verify_run` does that.

    Raises
    ------
    RunFolderError
        If it is no run folder, or one of an unknown format version.
    """
    path = existing_folder(folder)
    manifest = _read_json(path, MANIFEST)
    if problem := unknown_version(manifest):
        raise RunFolderError(folder, problem)

    def table(name: str) -> Any:
        try:
            return tables.read_parquet((path / f"{name}.parquet").read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise RunFolderError(folder, f"{name}.parquet cannot be read: {error}") from error

    return Run(manifest_as_now(manifest), _read_json(path, SUMMARY), table, path)


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        document = json.loads((folder / name).read_bytes())
    except FileNotFoundError:
        raise RunFolderError(folder, f"has no {name}: {what_it_is(folder)}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunFolderError(folder, f"{name} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise RunFolderError(folder, f"{name} is not a JSON object")
    return document
