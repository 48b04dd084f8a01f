"""From a configuration with a ``[sweep]`` table to the runs it asks for, every one of them checked."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from numa_sim.config.explain import shown
from numa_sim.config.inputs import input_files
from numa_sim.config.model import Config
from numa_sim.config.reader import set_at
from numa_sim.config.resolve import topology_of
from numa_sim.config.sweep import Case, Design, Sweep
from numa_sim.errors import ConfigError, RunFolderError
from numa_sim.observe.result import MODEL_VERSION
from numa_sim.policies.registry import of_config
from numa_sim.results.canonical import sha256
from numa_sim.results.sweep_columns import METRIC_COLUMNS
from numa_sim.results.sweep_folder import PlannedRun
from numa_sim.sweep.distinct import refuse_equal_values, refuse_reserved_factors, repeated_points
from numa_sim.sweep.sampling import sampled_values
from numa_sim.workloads.streams import stream

__all__ = ["Choice", "Plan", "PlannedRun", "Point", "make_plan", "replica_seed"]

_ID_LENGTH: Final = 16
_MACHINE_SOURCES: Final = ("preset", "from", "nodes")
_SOURCE_ONLY: Final = ("distances", "latency_ns", "bandwidth", "links")


@dataclass(frozen=True)
class Choice:
    """One value of one axis: what it is called, what it changes, and where the configuration says so."""

    factors: dict[str, Any]
    settings: tuple[tuple[str, Any], ...] = ()
    case: Case | None = None
    place: str = ""

    def apply(self, document: dict[str, Any], origin: str) -> None:
        """Change `document`; ConfigError if a path leads nowhere."""
        if self.case is not None:
            _merge_case(document, self.case)
        for path, value in self.settings:
            set_at(document, path, value, origin)

    def paths(self) -> tuple[str, ...]:
        """Paths of the configuration that it changes."""
        return (*(path for path, _ in self.settings), *(self.case.tables() if self.case is not None else ()))


@dataclass(frozen=True)
class Point:
    """One combination of values, to be run under several seeds."""

    index: int
    factors: dict[str, Any]
    choices: tuple[Choice, ...] = field(repr=False)

    def document(self, base: Config, seed: int) -> dict[str, Any]:
        """What the run with this seed would be written as."""
        document = base.document()
        self._apply(document, base.origin)
        document.setdefault("run", {})["seed"] = seed
        return document

    def config(self, base: Config) -> Config:
        """Configuration of the run with the base's own seed; ConfigError names axis, value and what is allowed."""
        try:
            config = base.varied(lambda document: self._apply(document, base.origin))
            if not config.workload:
                raise ConfigError(base.origin, "workload", "nothing to run", ("at least one [[workload]]",))
            topology_of(config)
            of_config(config)
        except ConfigError as problem:
            raise self._blame(problem, base.origin) from None
        return config

    def _apply(self, document: dict[str, Any], origin: str) -> None:
        for choice in self.choices:
            choice.apply(document, origin)

    def _blame(self, problem: ConfigError, origin: str) -> ConfigError:
        """Say of an error in a point's configuration which value of which axis it comes from."""
        for choice in self.choices:
            for path in choice.paths():
                inside, around = f"{problem.path}.".startswith(f"{path}."), f"{path}.".startswith(f"{problem.path}.")
                if inside or (around and problem.path):
                    value = next((value for name, value in choice.settings if name == path), None)
                    what = shown(value) if value is not None else shown(choice.case.label if choice.case else "")
                    where = f"{problem.path}: " if problem.path != path else ""
                    return ConfigError(origin, choice.place, f"{what}: {where}{problem.message}", problem.allowed)
        named = ", ".join(f"{name} = {shown(value)}" for name, value in self.factors.items())
        message = f"point {self.index} ({named}): {problem.path}: {problem.message}"
        return ConfigError(origin, "sweep", message, problem.allowed)


def _merge_case(document: dict[str, Any], case: Case) -> None:
    for name in case.tables():
        value = getattr(case, name)
        if name == "workload":
            document[name] = [dict(entry) for entry in value]
            continue
        table = document.setdefault(name, {})
        if name == "machine" and any(source in value for source in _MACHINE_SOURCES):
            for key in (*_MACHINE_SOURCES, *_SOURCE_ONLY):
                table.pop(key, None)
        _merge(table, value)


def _merge(table: dict[str, Any], over: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(table.get(key), dict):
            _merge(table[key], value)
        else:
            table[key] = _copy(value)


def _copy(value: Any) -> Any:
    """Tables and lists of a configuration, so that points do not share them."""
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(inner) for inner in value]
    return value


def _axes(design: Design, place: str, base: Config) -> Iterator[list[Choice]]:
    """Axes of one design, the slowest first: cases, grid, zip, sample."""
    for factor, cases in design.case_axes().items():
        yield [
            Choice(
                {factor: case.label},
                tuple((case.values or {}).items()),
                case,
                f"{place}.cases.{index}",
            )
            for index, case in cases
        ]
    for path, values in design.grid.items():
        yield [
            Choice({path: value}, ((path, value),), None, f"{place}.grid.{path}.{index}")
            for index, value in enumerate(values)
        ]
    if design.zip:
        rows = zip(*design.zip.values(), strict=True)
        yield [_row(design.zip, row, f"{place}.zip") for row in rows]
    if design.sample is not None:
        rows_of_values = sampled_values(design.sample, base, f"{place}.sample")
        yield [_row(design.sample.ranges, row, f"{place}.sample.ranges") for row in rows_of_values]


def _row(paths: Iterable[str], values: Iterable[Any], place: str) -> Choice:
    """Values of several paths that go together."""
    settings = tuple(zip(paths, values, strict=True))
    return Choice(dict(settings), settings, None, place if len(settings) > 1 else f"{place}.{settings[0][0]}")


def points_of(config: Config) -> list[Point]:
    """Every point of a configuration's sweep, in the order of their numbers; not yet checked.

    Raises
    ------
    ConfigError
        If there is no ``[sweep]`` table, or a range cannot be sampled.
    """
    sweep = sweep_of(config)
    points: list[Point] = []
    own = list(_axes(sweep, "sweep", config))
    for place, group in sweep.groups_with_paths():
        axes = [*own, *_axes(group, place, config)]
        for choices in itertools.product(*axes):
            factors: dict[str, Any] = {}
            for choice in choices:
                factors |= choice.factors
            points.append(Point(len(points), factors, choices))
    return points


def sweep_of(config: Config) -> Sweep:
    """The ``[sweep]`` table; ConfigError if there is none."""
    if config.sweep is None:
        raise ConfigError(config.origin, "sweep", "missing: this configuration is one run", ("a [sweep] table",))
    return config.sweep


@dataclass(frozen=True)
class Plan:
    """All runs of a sweep, in order: replica by replica, every point of each.

    `repeated` has the numbers of points that run what an earlier point runs, and of that.
    """

    config: Config
    sweep: Sweep
    points: tuple[Point, ...]
    runs: tuple[PlannedRun, ...]
    factors: tuple[str, ...]
    repeated: dict[int, int]

    def document_of(self, run: PlannedRun) -> dict[str, Any]:
        """What a run's configuration would be written as."""
        return self.points[run.point].document(self.config, run.seed)

    def as_json(self) -> dict[str, Any]:
        """Contents of ``sweep.json``, without its format version and seal."""
        return {
            "model_version": MODEL_VERSION,
            "config": self.config.resolved(),
            "factors": list(self.factors),
            "runs": [asdict(run) for run in self.runs],
        }


def make_plan(config: Config) -> Plan:
    """Every run that `config` asks for, each point's configuration resolved and checked.

    With replicas until a mean is precise, these are the runs that may be made.

    Raises
    ------
    ConfigError
        For a point that cannot be run: names its axis, its value and what the field allows.
    """
    sweep = sweep_of(config)
    _check_metric(config, sweep.replicas.metric)
    points = points_of(config)
    refuse_reserved_factors(config, points)
    seeds = [replica_seed(config.run.seed, replica) for replica in range(sweep.replicas.max)]
    digests: dict[Path, str] = {}
    ids = [_run_ids(point.config(config), seeds, digests) for point in points]
    firsts = [of_point[0] for of_point in ids]
    refuse_equal_values(config, points, firsts)
    runs = tuple(
        PlannedRun(ids[point.index][replica], point.index, replica, seed, point.factors)
        for replica, seed in enumerate(seeds)
        for point in points
    )
    factors = tuple(dict.fromkeys(name for point in points for name in point.factors))
    return Plan(config, sweep, tuple(points), runs, factors, repeated_points(firsts))


def _check_metric(config: Config, metric: str | None) -> None:
    """Refuse a metric that is no number of the sweep's table."""
    columns = [figure.name for figure in METRIC_COLUMNS if figure.kind != "text"]
    if metric is not None and metric not in columns:
        meant = get_close_matches(metric, columns, n=5, cutoff=0.4) or columns[:5]
        allowed = (*meant, "or another of the table's columns of numbers")
        raise ConfigError(config.origin, "sweep.replicas.metric", f"runs have no figure {metric!r}", allowed)


def replica_seed(seed: int, replica: int) -> int:
    """Seed of a replica, the same for every point (common random numbers); that of replica 0 is the run's own."""
    if replica == 0:
        return seed
    return int(stream(seed, f"sweep/replica/{replica}").integers(0, 1 << 63))


def _run_ids(config: Config, seeds: Iterable[int], digests: dict[Path, str]) -> list[str]:
    """Name of the run with each seed: a digest of all that its results follow from."""
    resolved = config.resolved()
    inputs = [[path, _digest(file, digests)] for path, file in input_files(config)]
    ids = []
    for seed in seeds:
        resolved["run"]["seed"] = seed
        everything = {"config": resolved, "inputs": inputs, "model_version": MODEL_VERSION}
        ids.append(sha256(json.dumps(everything, sort_keys=True, separators=(",", ":")).encode())[:_ID_LENGTH])
    return ids


def _digest(file: Path, known: dict[Path, str]) -> str:
    if file not in known:
        try:
            known[file] = sha256(file.read_bytes())
        except OSError as problem:
            raise RunFolderError(file, f"cannot be read: {problem.strerror or problem}") from None
    return known[file]
