"""How far a sweep is, from its folder alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numa_sim.results.readable import plural
from numa_sim.results.sweep_folder import SweepDesign, read_design
from numa_sim.results.sweep_precision import precision_notes, replicas_of
from numa_sim.sweep.rounds import missing_runs
from numa_sim.sweep.store import SweepFolder
from numa_sim.sweep.values import Values

__all__ = ["SweepStatus", "sweep_status"]


@dataclass(frozen=True)
class SweepStatus:
    """Counts of a sweep's runs.

    Attributes
    ----------
    folder : Path
        The sweep's folder.
    points, replicas, wanted : int
        Points, runs of each at most, and runs in all (each counted once, although points may be the same).
    done, under_way, failed : int
        Runs that are there, that have begun (or whose worker was killed), that failed and will be tried again.
    quarantined : tuple of dict
        Records of the runs that failed each time.
    missing : int
        Runs to be made next, those to be retried among them; 0 when the sweep is complete.
    until_precise : bool
        Whether replicas end when a mean is precise, so that more runs may follow these, and fewer than `wanted` may do.
    notes : tuple of str
        What to know of its points and intervals.
    """

    folder: Path
    points: int
    replicas: int
    wanted: int
    done: int
    under_way: int
    failed: int
    quarantined: tuple[dict[str, Any], ...]
    missing: int
    until_precise: bool
    notes: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """What a person wants to know."""
        points, replicas = plural(self.points, "point"), plural(self.replicas, "replica")
        runs = plural(self.wanted, "run")
        said = [
            f"{self.folder}: {points}, up to {replicas}, {runs}"
            if self.until_precise
            else f"{self.folder}: {points} x {replicas}, {runs}"
        ]
        said.append(f"  done         {self.done}")
        if self.under_way:
            said.append(f"  under way    {self.under_way}")
        if self.failed:
            said.append(f"  to retry     {self.failed}")
        if self.missing:
            more = " at least" if self.until_precise else ""
            said.append(f"  missing      {self.missing}{more}")
        if self.quarantined:
            said.append(f"  quarantined  {len(self.quarantined)}")
        said += [f"    {self._failure_line(record)}" for record in self.quarantined]
        return said + [f"  {note}" for note in self.notes]

    def _failure_line(self, record: dict[str, Any]) -> str:
        last = record["attempts"][-1]
        named = ", ".join(f"{name} = {value}" for name, value in record["factors"].items())
        why = " ".join(f"{last['error']}: {last['message']}".split())
        where = self.folder / "failures" / f"{record['run']}.json"
        return f"{record['run']} ({named or 'no factors'}; seed {record['seed']}): {last['stage']}: {why}; see {where}"


def sweep_status(folder: Path | str) -> SweepStatus:
    """Look how far the sweep in `folder` is; RunFolderError if there is none."""
    design = read_design(folder)
    store = SweepFolder(folder)
    wanted = {run.run for run in design.runs}
    done = store.present() & wanted
    failures = [record for run, record in store.failed().items() if run in wanted and run not in done]
    quarantined = tuple(record for record in failures if record["quarantined"])
    replicas = replicas_of(design)
    settled = done | {record["run"] for record in quarantined}
    missing = missing_runs(design.runs, replicas, settled.__contains__, Values(store, replicas.metric).of)
    return SweepStatus(
        folder=Path(folder),
        points=len({run.point for run in design.runs}),
        replicas=max((run.replica for run in design.runs), default=-1) + 1,
        wanted=len(wanted),
        done=len(done),
        under_way=len([run for run in store.under_way() if run not in done]),
        failed=len(failures) - len(quarantined),
        quarantined=quarantined,
        missing=len({run.run for run in missing}),
        until_precise=design.until_precise,
        notes=(*_repeated(design), *precision_notes(design)),
    )


def _repeated(design: SweepDesign) -> list[str]:
    """A sentence, if points are the same run as others."""
    points = {run.point: run.run for run in design.runs if run.replica == 0}
    repeated = len(points) - len(set(points.values()))
    return [f"{plural(repeated, 'point')} run what another point runs; each run is made once."] if repeated else []
