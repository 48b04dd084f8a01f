"""Pictures of a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from numa_sim.errors import NumaSimError
from numa_sim.results.report.page import Block, Figure, Figures, Notes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

__all__ = ["figures", "pictures_of_run"]

Drawn = tuple[str, str, Callable[[], "Axes | Drawing"]]
"""Name of a picture, what it shows, and how it is drawn."""


def figures(wanted: Iterable[Drawn]) -> list[Block]:
    """Draw pictures; one that cannot be drawn becomes a note that says why."""
    from numa_sim.results.pictures.figure import contents

    drawn, failed = [], []
    for name, about, draw in wanted:
        try:
            drawn.append(Figure(name, about, contents(draw(), "svg")))
        except NumaSimError as error:
            failed.append(f"{about} Not drawn: {error}.")
    blocks: list[Block] = [Figures(tuple(drawn))] if drawn else []
    return [*blocks, Notes(tuple(failed))] if failed else blocks


def pictures_of_run(run: Any) -> list[Drawn]:
    """Every picture of one run whose recordings are there, and which has something to show."""
    from numa_sim.results.pictures import ALL

    summary = run.summary
    counters = summary["totals"]["vmstat"]
    reclaimed = counters["pgscan_kswapd"] or counters["pgscan_direct"]
    shown = {
        "swap_use": bool(summary["swap_areas"]),
        "swap_queue": bool(summary["disks"]),
        "reclaim_rates": bool(reclaimed),
        "reclaim_timeline": bool(reclaimed),
        "latency_cdf": bool(summary["faults"]),
        "fragmentation": run.has("timeseries-buddy"),
        "access_map": run.has("access-map"),
        "topology": run.folder is not None and (run.folder / "topology.json").is_file(),
    }
    return [
        (each.name, each.about[0].upper() + each.about[1:] + ".", lambda each=each: each.plot(run))  # type: ignore[misc]
        for each in ALL.values()
        if each.source == "run" and shown.get(each.name, True)
    ]
