"""The report of a sweep."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from numa_sim.results.manifest import ENVIRONMENT
from numa_sim.results.readable import plural, readable_interval
from numa_sim.results.report.comparisons import comparisons
from numa_sim.results.report.drawn import Drawn, figures
from numa_sim.results.report.page import Block, Code, Notes, Page, Paragraph, Section, Table
from numa_sim.results.report.trust import WHAT_IS_WHAT, by_request
from numa_sim.results.sweep_factors import sampled_factors, text_of, zipped_with
from numa_sim.results.sweep_remarks import ALL_EQUAL, CUT_SHORT, any_all_equal, cut_short, has_cut_short
from numa_sim.results.text_tables import TextTable, text_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from numa_sim.results.sweep import Sweep

__all__ = ["METRICS", "page_of_sweep"]

METRICS: Final = ("end_ns", "mean_latency_ns", "numa_miss", "pgmajfault", "pswpout", "allocstall")
"""Reported where nobody asked for others, those that differ between runs."""
_MOST_ROWS: Final = 60
_FEW_REPLICAS: Final = 5
_WIDE: Final = 0.1
_MOST_PANELS: Final = 4
_MEMORY: Final = ("memory", "memory_per_node")


def page_of_sweep(sweep: Sweep, metrics: Sequence[str] = ()) -> Page:
    """What was varied, means with intervals, pictures, comparisons, what is missing, and how to get it again.

    Parameters
    ----------
    sweep : Sweep
        Finished or not.
    metrics : sequence of str
        Columns of its table to report; else `METRICS`, as far as they differ.

    Raises
    ------
    RunFolderError
        If there is no such metric.
    """
    chosen = tuple(metrics) or tuple(metric for metric in METRICS if _differs(sweep, metric)) or METRICS[:1]
    sections = [
        Section("What was varied", [Table(_factors(sweep)), *_missing(sweep)]),
        Section("Pictures", figures(_pictures(sweep, chosen))),
        Section("Means", [_means(sweep, chosen)]),
        Section("Comparisons", comparisons(sweep, chosen, _crossed(sweep))),
        Section("How far to trust it", [
            Notes((*cut_short(sweep), *sweep.precision_notes), grave=True),
            Notes(tuple(_confidence(sweep, chosen))),
            Notes((*_requests(sweep), *WHAT_IS_WHAT)),
        ]),
        Section("How to get it again", _again(sweep)),
    ]  # fmt: skip
    return Page(sweep.folder.resolve().name, sweep.headline, sections, f"{_made_by(sweep)}, report of a sweep")


def _made_by(sweep: Sweep) -> str:
    """The program and its version, or versions if a sweep was continued with another one."""
    files = [sweep.design.folder_of(planned.run) / ENVIRONMENT for planned in sweep.design.finished()]
    versions = sorted({str(json.loads(file.read_bytes()).get("numa_sim", "")) for file in files})
    return f"numa_sim {' and '.join(versions)}".strip()


def _differs(sweep: Sweep, metric: str) -> bool:
    values = {value for value in sweep.table.column(metric).to_pylist() if value is not None}
    return len(values) > 1


def _factors(sweep: Sweep) -> TextTable:
    table = text_table("Factors", "factor", "values", left=2)
    for name, values in sweep.factors.items():
        table.add_row(name, ", ".join(text_of(value) for value in values))
    design = sweep.design
    replicas = max((run.replica for run in design.runs), default=-1) + 1
    table.add_row("replicas", f"up to {replicas}, until precise" if design.until_precise else str(replicas))
    return table


def _missing(sweep: Sweep) -> list[Block]:
    lines = [f"Run {failure['run']} failed: {_error(failure)}" for failure in sweep.failures]
    absent = len(sweep.missing)
    if absent and not sweep.design.until_precise:
        lines.insert(0, f"{absent} of {len(sweep.design.runs)} runs are not there; means are over those that are.")
    return [Notes(tuple(lines), grave=True)] if lines else []


def _error(failure: dict[str, Any]) -> str:
    attempts = failure.get("attempts") or [{}]
    said = ": ".join(str(attempts[-1][key]) for key in ("error", "message") if attempts[-1].get(key))
    return f"{said or 'see its file in failures/'} (attempts: {len(attempts)})."


def _several(sweep: Sweep) -> list[str]:
    """Factors of several values, of those that are zipped together the first."""
    several: list[str] = []
    for name, values in sweep.factors.items():
        if len(values) > 1 and not zipped_with(sweep.design, name).intersection(several):
            several.append(name)
    return several


def _crossed(sweep: Sweep) -> list[str]:
    """Factors of several values but those of a sample, of which no two points differ in one factor only."""
    return [name for name in _several(sweep) if name not in sampled_factors(sweep.design)]


def _pictures(sweep: Sweep, metrics: Sequence[str]) -> list[Drawn]:
    """A metric against the first two factors, in panels by the third; of more, the first value.

    Of a sample, a picture for each factor.
    """
    from numa_sim.results.pictures import ALL
    from numa_sim.results.pictures.facets import facets

    several = _several(sweep)
    if not several or not sweep.design.finished():
        return []
    if sampled := [name for name in several if name in sampled_factors(sweep.design)]:
        return [_scatter(sweep, metric, name) for metric in metrics for name in sampled]
    panels = next((name for name in several[2:3] if len(sweep.factors[name]) <= _MOST_PANELS), None)
    rest = {name: sweep.factors[name][0] for name in several[2:] if name != panels}
    told = "".join(f", only at {name} = {text_of(value)}" for name, value in rest.items())
    about = f"{_what(sweep)} {{metric}}{f', a panel per {panels}' if panels else ''}{told}."

    def draw(metric: str) -> Axes | Figure:
        if panels:
            return facets(sweep, metric=metric, panels=panels, where=rest)
        return ALL["facets"].plot(sweep, metric=metric, where=rest)

    drawn: list[Drawn] = [
        (f"facets-{metric}", about.format(metric=metric), partial(draw, metric)) for metric in metrics
    ]
    if several[0].rpartition(".")[2] in _MEMORY and not panels:
        shown = f"Major faults over the size of memory{told}."
        drawn.append(("memory_curve", shown, lambda: ALL["memory_curve"].plot(sweep, where=rest)))
    return drawn


def _what(sweep: Sweep) -> str:
    """What the points of pictures are."""
    replicas = {planned.replica for planned in sweep.design.finished()}
    return "Mean over replicas and 95 % interval of" if len(replicas) > 1 else "One run of each point:"


def _scatter(sweep: Sweep, metric: str, factor: str) -> Drawn:
    from numa_sim.results.pictures import ALL

    several = (
        "" if len(sampled_factors(sweep.design)) == 1 else ", which is one of several that differ from point to point"
    )
    about = f"{_what(sweep)} {metric} over {factor}{several}."
    return f"facets-{metric}-{factor}", about, lambda: ALL["facets"].plot(sweep, metric=metric, x=factor)


def _means(sweep: Sweep, metrics: Sequence[str]) -> Table:
    names = list(sweep.design.factors)
    columns = [sweep.intervals(metric) for metric in metrics]
    table = text_table("Means over replicas", *names, "n", *metrics, left=max(len(names), 1))
    marks = has_cut_short(sweep, names)
    for cells, mark in list(zip(zip(*columns, strict=True), marks, strict=True))[:_MOST_ROWS]:
        factors = [text_of(value) for value in cells[0][0]]
        said = [
            readable_interval(interval, sweep.unit(metric)) if interval.n else "-"
            for metric, (_, interval) in zip(metrics, cells, strict=True)
        ]
        table.add_row(*factors, f"{cells[0][1].n}{CUT_SHORT if mark else ''}", *said)
    left = len(columns[0]) - len(table.rows)
    remarks = ["Mean ± half width of the 95 % interval (Student's t over replicas); one replica has none."]
    if any_all_equal(interval for column in columns for _, interval in column):
        remarks.append(ALL_EQUAL)
    if any(marks):
        remarks.append(f"{CUT_SHORT} Runs were cut short: see how far to trust it.")
    if left > 0:
        remarks.append(f"{plural(left, 'point')} more are in results.parquet.")
    return Table(table, " ".join(remarks))


def _confidence(sweep: Sweep, metrics: Sequence[str]) -> list[str]:
    counts = sorted({interval.n for _, interval in sweep.intervals(metrics[0])} - {0})
    said = []
    if counts and counts[0] < 2:
        said.append("Points with one replica have no interval: nothing is known about chance there.")
    elif counts and counts[0] < _FEW_REPLICAS:
        said.append(f"With {counts[0]} replicas intervals are wide and rest on the assumption of normal means.")
    for metric in metrics:
        wide = sum(
            interval.n > 1 and interval.estimate != 0 and interval.relative_half_width > _WIDE
            for _, interval in sweep.intervals(metric)
        )
        if wide:
            said.append(f"{metric}: {wide} of its intervals are wider than ± 10 %.")
    return said


def _requests(sweep: Sweep) -> list[str]:
    """What the configurations of the points ask for that the kernels do not do."""
    first_of = {planned.point: planned.run for planned in reversed(sweep.design.finished())}
    said = [by_request(sweep.run(run).manifest["config"]) for run in first_of.values()]
    every = list(dict.fromkeys(line for lines in said for line in lines))
    return [line if all(line in lines for lines in said) else f"At some points: {line}" for line in every]


def _again(sweep: Sweep) -> list[Block]:
    folder = shlex.quote(sweep.folder.resolve().name)
    design = sweep.design
    text = json.dumps(design.config, indent=2)
    made = [
        f"numa-sim reproduce {folder}{run}" for first in design.finished()[:1] for run in ("", f"/runs/{first.run}")
    ]
    return [
        Paragraph("All runs and their table can be made again byte for byte from the folder alone, or a single run:"),
        Code("\n".join([*made, f"numa-sim sweep status {folder}"])),
        Paragraph(f"The table of all runs is {folder}/results.parquet; model version {design.model_version}."),
        Code(text, "The whole configuration"),
    ]
