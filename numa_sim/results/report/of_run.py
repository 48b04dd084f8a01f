"""The report of one run."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, Final

from numa_sim.results.readable import readable_bytes, readable_count, readable_ns
from numa_sim.results.report.drawn import figures, pictures_of_run
from numa_sim.results.report.page import Code, Notes, Page, Paragraph, Section, Table
from numa_sim.results.report.trust import WHAT_IS_WHAT, by_request, confidence_of, time_rests_on
from numa_sim.results.summary_tables import headline, summary_tables
from numa_sim.results.sweep_remarks import ENDED
from numa_sim.results.text_tables import TextTable, text_table

if TYPE_CHECKING:
    from numa_sim.results.run import Run

__all__ = ["page_of_run"]


def page_of_run(run: Run, environment: dict[str, Any]) -> Page:
    """What was run, its figures, where time went, how far to trust it, and how to get it again.

    Parameters
    ----------
    run : Run
        Opened from its folder.
    environment : dict
        The folder's ``environment.json``.
    """
    assert run.folder is not None
    tables = summary_tables(run.summary)
    times = [table for table in tables if table.title.startswith("Where the time went")]
    counters = [table for table in tables if table not in times]
    warnings = Notes(tuple(run.summary["warnings"]), grave=True)
    sections = [
        Section("What was run", [Table(_what(run)), *_workloads(run), *_kills(run)]),
        Section("Pictures", figures(pictures_of_run(run))),
        Section("Where the time went", [*map(Table, times), Paragraph(time_rests_on(run.summary["totals"]))]),
        Section("Counters", [*map(Table, counters)]),
        Section("How far to trust it", [
            warnings,
            Notes((*by_request(run.manifest["config"]), *confidence_of(run))),
            Notes(WHAT_IS_WHAT),
        ]),
        Section("How to get it again", _again(run, environment)),
    ]  # fmt: skip
    version = environment.get("numa_sim", "")
    return Page(run.folder.name, headline(run.summary), sections, f"numa_sim {version}, report of a run")


def _what(run: Run) -> TextTable:
    config, summary = run.manifest["config"], run.summary
    machine = summary["machine"]
    table = text_table("The run", "", "", left=2)
    size = f"{machine['nodes']} nodes, {machine['cpus']} CPUs, {readable_bytes(machine['memory_bytes'])} of memory"
    rows = {
        "machine": f"{machine['name'] or 'its own'}: {size}",
        "swap": ", ".join(f"{a['name']} ({a['device']}, priority {a['priority']})" for a in summary["swap_areas"]),
        "kernel": config["kernel"]["profile"],
        "seed": str(run.manifest["seed"]),
        "simulated time": readable_ns(summary["run"]["end_ns"]),
        "how it ended": ENDED.get(summary["run"]["exit_state"], summary["run"]["exit_state"]),
        "accesses": readable_count(summary["totals"]["accesses"]),
        "model version": str(run.manifest["model_version"]),
        "event hash": summary["run"]["event_hash"],
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    return table


def _workloads(run: Run) -> list[Table]:
    workloads = run.manifest["config"]["workload"]
    if not workloads:
        return []
    table = text_table("Workloads", "name", "what", "CPUs", "tasks", left=3)
    for each in workloads:
        trace = each.get("trace")
        if trace:
            what = f"trace {trace['file']}" if isinstance(trace, dict) and "file" in trace else "a recorded trace"
        else:
            what = _operations([operation["op"] for operation in each["program"]])
        table.add_row(each["name"], what, str(each["cpus"] or "any"), str(each["count"]))
    return [Table(table, "The whole configuration is at the end.")]


_MOST_OPERATIONS: Final = 8


def _operations(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_OPERATIONS])
    left = len(names) - _MOST_OPERATIONS
    return f"{shown} and {left} more" if left > 0 else shown


def _kills(run: Run) -> list[Notes]:
    kills = run.summary["oom_kills"]
    lines = tuple(
        f"Out of memory: {kill['task']} (pid {kill['pid']}) was killed, and gone after {readable_ns(kill['t_ns'])}."
        for kill in kills
    )
    return [Notes(lines, grave=True)] if lines else []


def _again(run: Run, environment: dict[str, Any]) -> list[Any]:
    folder = shlex.quote(str(run.folder.name if run.folder else ""))
    blocks: list[Any] = [
        Paragraph("From the run folder alone, byte for byte, and compared with what it holds:"),
        Code(f"numa-sim verify {folder}\nnuma-sim reproduce {folder}"),
    ]
    if beyond := run.manifest.get("beyond_config"):
        blocks.append(Notes((f"Not possible here: {'; '.join(map(str, beyond))}.",), grave=True))
    made = text_table("Made with", "", "", left=2)
    for name, value in (
        ("numa_sim", environment.get("numa_sim")),
        ("Python", environment.get("python")),
        *sorted(environment.get("packages", {}).items()),
        ("command", " ".join(map(shlex.quote, environment.get("command", ())))),
    ):
        if value:
            made.add_row(str(name), str(value))
    blocks.append(Table(made))
    inputs = run.manifest["inputs"]
    if inputs:
        table = text_table("Inputs", "file", "size", "SHA-256", left=1)
        for entry in inputs:
            table.add_row(entry["name"], readable_bytes(entry["size_bytes"]), entry["sha256"])
        blocks.append(Table(table))
    config = json.dumps(run.manifest["config"], indent=2, sort_keys=True)
    blocks.append(Code(config, f"The whole configuration (SHA-256 {run.manifest['config_sha256']})"))
    return blocks
