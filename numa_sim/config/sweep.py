"""Table ``[sweep]``: which runs a sweep is made of.

A sweep's *points* are the cross product of its axes: every list of `grid`, the lists of `zip` together, the points of
`sample`, and `cases`, whole sub-tables under a label each.  With `groups` the points are those of one group after the
other.  Each point is run `replicas` times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from numa_sim.config.quantities import PositiveTime, Section, refuse, size

MAX_RUNS = 100_000
"""Most runs one sweep may ask for."""
HOUR_NS = 3_600_000_000_000
HONEST_MIN = 10
"""Replicas from which on stopping at the first precise mean leaves the coverage of its interval above 93 %."""
_VALUES = 'a table of lists, like { "machine.memory_per_node" = ["1GiB", "2GiB"] }'
_TABLE = "a table of values put over the configuration's own"

MemoryLimit = Annotated[int, size(64 << 20, 1 << 46)]


def _check_axes(value: object) -> object:
    """Refuse an axis without values, with a name that is no path, or along what a sweep sets itself."""
    if not isinstance(value, dict):
        raise refuse(f"{str(value)[:40]} is not {_VALUES.split(',')[0]}", (_VALUES,))
    for name, values in value.items():
        _check_path(name)
        if not isinstance(values, list | tuple) or not values or any(value != value for value in values):
            raise refuse(f"{str(values)[:40]} is not a list of values", (_VALUES,), name)
    return {name: tuple(values) for name, values in value.items()}


def _check_path(name: object) -> None:
    """Refuse what cannot be the path of an axis."""
    if not isinstance(name, str) or not all(name.split(".")) or len(name) > 200:
        raise refuse(f"{str(name)[:40]!r} is no path", ("a path of the configuration, like machine.memory_per_node",))
    if name.split(".")[0] == "sweep":
        raise refuse("a sweep cannot vary itself", ("a path of the rest of the configuration",), name)
    if name == "run.seed":
        raise refuse("replicas have seeds of their own, made from run.seed", ("replicas = N instead",), name)


def _check_table(value: object) -> object:
    if not isinstance(value, dict) or not value:
        raise refuse(f"{str(value)[:40]} is not {_TABLE}", (_TABLE,))
    return value


def _check_workloads(value: object) -> object:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(entry, dict) for entry in value):
        raise refuse(f"{str(value)[:40]} is not a list of workloads", (_WORKLOADS,))
    return tuple(value)


def _check_settings(value: object) -> object:
    return _table_by_path(value, "paths and values", _SETTINGS)


def _table_by_path(value: object, of: str, allowed: str) -> object:
    """`value` if it is a table, not empty, whose keys are paths into the configuration."""
    if not isinstance(value, dict) or not value:
        raise refuse(f"{str(value)[:40]} is not a table of {of}", (allowed,))
    for name in value:
        _check_path(name)
    return value


_WORKLOADS = "a list of [[workload]] tables that replaces the configuration's own"
_SETTINGS = 'a table of paths and values, like { "workload.0.count" = 4 }'


def _object(said: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "object", "minProperties": 1, "additionalProperties": True, "x-values": said})


Axes = Annotated[
    dict[str, tuple[Any, ...]],
    BeforeValidator(_check_axes),
    Field(strict=False),
    WithJsonSchema(
        {"type": "object", "additionalProperties": {"type": "array", "items": {}, "minItems": 1}, "x-values": _VALUES}
    ),
]
"""Values by the path they are put at."""
Table = Annotated[dict[str, Any], BeforeValidator(_check_table), _object(_TABLE)]
Settings = Annotated[dict[str, Any], BeforeValidator(_check_settings), _object(_SETTINGS)]
Workloads = Annotated[
    tuple[dict[str, Any], ...],
    BeforeValidator(_check_workloads),
    Field(strict=False),
    WithJsonSchema({"type": "array", "items": {"type": "object"}, "minItems": 1, "x-values": _WORKLOADS}),
]
_ENDS = 'a value of the field, like "1GiB" or 10'
End = Annotated[
    str | int | float,
    BeforeValidator(lambda value: _check_end(value)),
    WithJsonSchema({"type": ["string", "number"], "x-values": _ENDS}),
]


def _check_end(value: object) -> object:
    if not isinstance(value, str | int | float) or isinstance(value, bool) or value == "" or value != value:
        raise refuse(f"{str(value)[:40]} is no end of a range", (_ENDS,))
    return value


class Range(Section):
    """Where one field of sampled points lies; values are rounded to what the field can hold."""

    from_: End = Field(alias="from", description="smallest value")
    to: End = Field(description="largest value")
    scale: Literal["linear", "log"] = Field("linear", description="log: as many points from 1 to 2 as from 2 to 4")


def _check_ranges(value: object) -> object:
    return _table_by_path(value, "ranges", _RANGES)


_RANGES = 'a table of ranges, like { "machine.memory_per_node" = { from = "1GiB", to = "8GiB" } }'


class Sample(Section):
    """Table ``[sweep.sample]``: points that fill a space evenly, by `scipy.stats.qmc`."""

    method: Literal["sobol", "latin_hypercube", "halton"] = Field(
        "sobol", description="sobol: a power of two of points; latin_hypercube; halton: any number"
    )
    points: int = Field(ge=1, le=MAX_RUNS, description="points")
    ranges: Annotated[dict[str, Range], BeforeValidator(_check_ranges)] = Field(
        description="range of each field, by its path", json_schema_extra={"x-values": _RANGES, "minProperties": 1}
    )

    @model_validator(mode="after")
    def _power_of_two(self) -> Self:
        if self.method == "sobol" and self.points & (self.points - 1):
            low = 1 << (self.points.bit_length() - 1)
            raise refuse(
                f"{self.points} is no power of two, and only those of Sobol's points are balanced",
                (str(low), str(2 * low), 'any number with method = "latin_hypercube" or "halton"'),
                "points",
            )
        return self


def _check_label(value: str) -> str:
    if not value.isprintable():
        raise refuse(f"{value[:40]!r} would act on a terminal", ("characters that can be printed",))
    return value


Label = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_check_label)]
"""What tables and terminals show as it is."""


class Case(Section):
    """One of several whole sub-tables, merged over the configuration's own.

    A `machine` that says what it is (preset, from or nodes) replaces how the configuration's own says it; everything
    else is merged key by key, lists as a whole.
    """

    label: Label = Field(description="name in results")
    factor: Label | None = Field(
        None,
        description="cases of one factor are alternatives, those of different factors are combined; "
        "by default all are alternatives",
    )
    machine: Table | None = Field(None, description="keys of [machine]")
    kernel: Table | None = Field(None, description="keys of [kernel]")
    costs: Table | None = Field(None, description="keys of [costs]")
    run: Table | None = Field(None, description="keys of [run]")
    workload: Workloads | None = Field(None, description="all [[workload]] tables")
    values: Settings | None = Field(None, alias="set", description="single values by their paths")

    def tables(self) -> tuple[str, ...]:
        """Names of what it changes."""
        return tuple(name for name in ("machine", "kernel", "costs", "run", "workload") if getattr(self, name))

    @model_validator(mode="after")
    def _no_seed(self) -> Self:
        if self.run is not None and "seed" in self.run:
            raise refuse("replicas have seeds of their own, made from run.seed", ("replicas = N instead",), "run.seed")
        return self


class Design(Section):
    """Axes whose cross product makes points."""

    grid: Axes = Field({}, description="values of fields by their paths; every combination is a point")
    zip: Axes = Field({}, description="values of fields by their paths; the first of each, the second of each, ...")
    sample: Sample | None = Field(None, description="points that fill a space evenly")
    cases: Annotated[tuple[Case, ...], Field(strict=False)] = Field(
        (), max_length=1000, description="whole sub-tables, such as machines or policies"
    )

    @model_validator(mode="after")
    def _equal_lengths(self) -> Self:
        lengths = {name: len(values) for name, values in self.zip.items()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            raise refuse(f"the lists differ in length ({said})", ("lists of one length",), "zip")
        return self

    @model_validator(mode="after")
    def _factors_of_their_own(self) -> Self:
        seen: set[str] = set()
        sampled = self.sample.ranges if self.sample else {}
        for table, names in (("grid", self.grid), ("zip", self.zip), ("sample.ranges", sampled)):
            for name in names:
                if name in seen:
                    raise refuse(f"{name} is an axis already", ("each path once",), f"{table}.{name}")
                seen.add(name)
        given = [case.factor is not None for case in self.cases]
        if any(given) and not all(given):
            raise refuse("the other cases name their factor", ("a factor",), f"cases.{given.index(False)}.factor")
        for factor, cases in self.case_axes().items():
            labels: set[str] = set()
            for index, case in cases:
                if case.label in labels:
                    raise refuse(f"{case.label!r} labels another case", ("a label of its own",), f"cases.{index}.label")
                labels.add(case.label)
            if factor in seen:
                raise refuse(f"{factor} is an axis already", ("each factor once",), f"cases.{cases[0][0]}.factor")
        return self

    def case_axes(self) -> dict[str, list[tuple[int, Case]]]:
        """Cases with their positions, by factor: the one named, else the one table all of them change, else "case".

        Also "case" if that table is [run]: results have a column of that name.
        """
        tables = {name for case in self.cases for name in case.tables()}
        alone = len(tables) == 1 and tables != {"run"} and not any(case.values for case in self.cases)
        same = tables.pop() if alone else "case"
        axes: dict[str, list[tuple[int, Case]]] = {}
        for index, case in enumerate(self.cases):
            axes.setdefault(case.factor or same, []).append((index, case))
        return axes

    def size(self) -> int:
        """Points it makes."""
        zipped = min((len(values) for values in self.zip.values()), default=1)
        sampled = self.sample.points if self.sample else 1
        cases = math.prod(len(cases) for cases in self.case_axes().values())
        return math.prod(len(values) for values in self.grid.values()) * zipped * sampled * cases


class _NumberOrTable:
    """Annotation: the schema of replicas, which may be written as a number."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        number = {"type": "integer", "minimum": 1, "maximum": MAX_RUNS, "x-values": _REPLICAS}
        return {"anyOf": [number, handler(schema)]}


_REPLICAS = f'an integer, 1 to {MAX_RUNS}, or a table like {{ min = 10, max = 30, metric = "pgmajfault" }}'


class Replicas(Section):
    """Runs of each point: a number, or as many as a mean needs to be known well enough."""

    min: int = Field(
        HONEST_MIN, ge=1, le=MAX_RUNS, description="runs of every point; with fewer than 10, intervals cover less"
    )
    max: int = Field(30, ge=1, le=MAX_RUNS, description="runs after which a point ends although its mean is not known")
    metric: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="column of the sweep's table whose mean decides, like pgmajfault",
    )
    within: str = Field(
        "5%",
        pattern=r"^(?:[1-9][0-9]?|0)(?:\.[0-9]{1,6})?%$",
        description='half width of the interval, as a share of the mean, like "5%"',
    )
    confidence: float = Field(0.95, ge=0.5, lt=1.0, description="confidence of the interval")

    @model_validator(mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        if isinstance(value, dict):
            return value
        if type(value) is not int or not 1 <= value <= MAX_RUNS:
            raise refuse(f"{str(value)[:40]} is no number of replicas", (_REPLICAS,))
        return {"min": value, "max": value}

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max < self.min:
            raise refuse(f"{self.max} is below min = {self.min}", (f"{self.min} to {MAX_RUNS}",), "max")
        if self.metric is None and self.max > self.min:
            raise refuse("missing: which mean decides", ("a column of the sweep's table",), "metric")
        if self.metric is not None and self.share == 0:
            raise refuse("no mean is known exactly", ('more than 0, like "5%"',), "within")
        if self.metric is not None and self.min < 2:
            raise refuse("one run has no interval", (f"2 to {MAX_RUNS}",), "min")
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, serialise: SerializerFunctionWrapHandler) -> Any:
        return self.max if self.model_fields_set == {"min", "max"} else serialise(self)

    @property
    def share(self) -> float:
        """`within` as a number: 0.05 for 5%."""
        return float(self.within.removesuffix("%")) / 100


def _none_said(value: object) -> object:
    """What TOML has no word for."""
    return None if value == "none" else value


class RunLimits(Section):
    """Table ``[sweep.limits]``: what one run may take before it is stopped."""

    wall: Annotated[PositiveTime | None, BeforeValidator(_none_said)] = Field(
        HOUR_NS, description='host time; "none": no limit'
    )
    memory: Annotated[MemoryLimit | None, BeforeValidator(_none_said)] = Field(
        None, description='host memory of its process; "none", as by default: what the host has'
    )


class Sweep(Design):
    """Table ``[sweep]``: a design of runs."""

    replicas: Annotated[Replicas, _NumberOrTable()] = Field(
        Replicas(min=1, max=1), description="runs of each point, each with its own seed"
    )
    groups: Annotated[tuple[Design, ...], Field(strict=False)] = Field(
        (), max_length=100, description="designs one after the other, each combined with the axes of [sweep] itself"
    )
    limits: RunLimits = RunLimits()

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        names = {*self.grid, *self.zip, *(self.sample.ranges if self.sample else ()), *self.case_axes()}
        for index, group in enumerate(self.groups):
            inner = {*group.grid, *group.zip, *(group.sample.ranges if group.sample else ()), *group.case_axes()}
            if both := sorted(names & inner):
                raise refuse(f"{both[0]} is an axis of [sweep] already", ("each path once",), f"groups.{index}")
        points = self.size() * (sum(group.size() for group in self.groups) if self.groups else 1)
        if points * self.replicas.max > MAX_RUNS:
            times = f" of {points} points" if self.replicas.max > 1 else ""
            raise refuse(
                f"{points * self.replicas.max} runs{times} are too many", (f"at most {MAX_RUNS} runs",), "replicas"
            )
        return self

    def groups_with_paths(self) -> Iterator[tuple[str, Design]]:
        """Groups and where they stand; without groups one that adds nothing."""
        if not self.groups:
            yield "sweep", Design()
        for index, group in enumerate(self.groups):
            yield f"sweep.groups.{index}", group
