"""Means of a sweep's metric with their intervals, by the values of factors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from numa_sim.errors import ConfigError
from numa_sim.results.readable import plural, time_unit
from numa_sim.results.sweep_factors import point_factors, sampled_factors, text_of
from numa_sim.results.sweep_remarks import how_runs_ended
from numa_sim.statistics import Interval, mean_interval, paired
from numa_sim.units import parse_bytes, parse_ns

__all__ = ["Rows", "Scale", "scale_of", "short", "short_name"]

_DESIGN: Final = ("run", "point", "replica", "seed")


@dataclass(frozen=True)
class Rows:
    """The tidy table of a sweep: a row per run.

    Attributes
    ----------
    columns : dict of str to list
        Values by name.
    factors : tuple of str
        Names of the columns that are factors.
    units : dict of str to str
        Units of columns that have one.
    sampled : frozenset of str
        Factors of points that fill a space, which all differ from point to point.
    held : mapping
        What `where` chose.
    planned : tuple of dict
        Factors of the points that were asked for, whether runs of them have finished or not; empty if unknown.
    """

    columns: dict[str, list[Any]]
    factors: tuple[str, ...]
    units: dict[str, str]
    sampled: frozenset[str] = frozenset()
    held: Mapping[str, Any] = field(default_factory=dict)
    planned: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, source: Any) -> Rows:
        """From a sweep (anything with a ``table``), its pyarrow.Table, or a sequence of dicts with a ``replica`` each.

        Rows stay as they are.  In a sequence of dicts, what is no number and not of the design is a factor, and so is
        ``factors`` of the source if it has that.
        """
        if isinstance(source, Rows):
            return source
        table = getattr(source, "table", source)
        table = table() if callable(table) else table
        if isinstance(table, Sequence):
            names = list(dict.fromkeys(name for row in table for name in row))
            columns = {name: [row.get(name) for row in table] for name in names}
            texts = (name for name, values in columns.items() if any(isinstance(value, str) for value in values))
            return cls(columns, tuple(name for name in texts if name not in _DESIGN), {})
        metadata = table.schema.metadata or {}
        factors = tuple(json.loads(metadata.get(b"factors", b"[]")))
        units = {field.name: (field.metadata or {}).get(b"unit", b"").decode() for field in table.schema}
        design = getattr(source, "design", None)
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
        if design is None:
            return cls(columns, factors, units)
        planned = tuple({"point": point, **values} for point, values in point_factors(design).items())
        return cls(columns, factors, units, sampled_factors(design), planned=planned)

    def column(self, name: str, what: str = "metric") -> list[Any]:
        """Values of one column, a row each; ConfigError naming the known ones if there is none."""
        if name not in self.columns:
            known = (
                self.factors if what != "metric" else [n for n in self.columns if n not in (*_DESIGN, *self.factors)]
            )
            raise ConfigError("sweep", what, f"there is no {name!r}", known)
        return self.columns[name]

    def where(self, chosen: Mapping[str, Any]) -> Rows:
        """Only rows in which factors have the chosen values; a value may be given as its text.

        Raises
        ------
        ConfigError
            For what is no factor, a value it never has, or values that it never has together with the others.
        """
        rows = self
        for name, wanted in chosen.items():
            if name not in (*self.factors, *_DESIGN):
                raise ConfigError("sweep", "where", f"there is no factor {name!r}", self.factors or ("none",))
            value = rows.value(name, wanted)
            rows = replace(rows._only(name, value), held={**rows.held, name: value})
        return rows

    def _only(self, name: str, value: Any) -> Rows:
        """Rows and planned points with this value."""
        kept = [i for i, each in enumerate(self.columns[name]) if each == value]
        columns = {column: [values[i] for i in kept] for column, values in self.columns.items()}
        planned = tuple(point for point in self.planned if point.get(name, value) == value)
        return replace(self, columns=columns, planned=planned)

    def value(self, factor: str, wanted: Any, what: str = "where.") -> Any:
        """The value of a factor that equals the wanted one, or has its text; ConfigError if it is never that."""
        values = self.values(factor)
        same = (value for value in values if value == wanted and isinstance(value, bool) == isinstance(wanted, bool))
        alike = (value for value in values if text_of(value) == text_of(wanted))
        found = next(same, next(alike, None))
        if found is None:
            raise ConfigError(
                "sweep", what + factor, f"is never {text_of(wanted)!r}", [text_of(value) for value in values]
            )
        return found

    @property
    def caption(self) -> str:
        """What must be said below a picture; empty if that is nothing.

        What was held fixed of that which the sweep varied, runs that were cut short, points without finished runs.
        """
        parts = []
        if self.held:
            parts.append("fixed: " + ", ".join(f"{short_name(name)} = {text_of(to)}" for name, to in self.held.items()))
        states = self.columns.get("exit_state", [])
        parts += [f"× {n} of {len(states)} runs ended by {how}" for how, n in how_runs_ended(states).items()]
        lost = {point["point"] for point in self.planned}.difference(self.columns.get("point", []))
        if lost:
            parts.append(f"no finished run at {len(lost)} of {plural(len(self.planned), 'point')}")
        return "; ".join(parts)

    def cut_short(self, x: str, by: str | None = None) -> set[tuple[Any, Any]]:
        """Values of `by` and `x` at which runs were cut short."""
        states = self.columns.get("exit_state", [])
        ways = how_runs_ended(states)
        at = zip(self._column_of(by), self.columns[x], states, strict=False)
        return {(group, value) for group, value, state in at if state in ways}

    def refuse_mixing(self, metric: str, x: str, by: str | None) -> None:
        """Raise ConfigError if a column is unknown, or a factor not named has several values: a mean would mix them."""
        for name, what in ((metric, "metric"), (x, "x"), (by, "by")):
            if name is not None:
                self.column(name, what)
        for name in self.factors:
            if name not in (x, by) and not self.follows(name, x, by):
                values = _distinct(self.columns[name])
                message = f"has several values: draw it as x or by, or choose one: --where {name}=VALUE, where={{...}}"
                raise ConfigError("sweep", name, message, [text_of(value) for value in values])

    def follows(self, name: str, x: str, by: str | None = None) -> bool:
        """Whether a factor has one value at each value of x and by, such as one that is zipped with x.

        Points without x, as of another group of the sweep, are not drawn and do not count.
        """
        columns = zip(self.columns[x], self.columns[by or x], self.columns[name], strict=True)
        pairs = {(str(place), str(value)) for *place, value in columns if place[0] is not None}
        return len(pairs) == len({place for place, _ in pairs})

    def values(self, factor: str | None) -> list[Any]:
        """Distinct values of a factor in the order of the design, also those of which no run has finished.

        One None if there is no factor.
        """
        if factor is None:
            return [None]
        return _distinct(
            [*(point[factor] for point in self.planned if factor in point), *self.column(factor, "factor")]
        )

    def groups(self, by: str | None, x: str) -> list[Any]:
        """Values of `by` that come with some `x`; None last, if there are points with x that do not have it."""
        if by is None:
            return [None]
        points = [*self.planned, *({x: a, by: b} for a, b in zip(self.column(x), self.column(by, "by"), strict=True))]
        there = {point[by] for point in points if point.get(x) is not None}
        return [value for value in [*self.values(by), None] if value in there]

    def lost(self, x: str, by: str | None = None) -> set[tuple[Any, Any]]:
        """Values of `by` and `x` that were asked for and of which no run has finished."""
        there = set(zip(self._column_of(by), self.columns[x], strict=True))
        return {(point[by] if by else None, point[x]) for point in self.planned if point.get(x) is not None} - there

    def _column_of(self, by: str | None) -> list[Any]:
        """Values of a factor, a row each; None everywhere if there is no factor."""
        return [None] * len(self.columns["replica"]) if by is None else self.columns[by]

    def intervals(self, metric: str, x: str, by: str | None = None) -> dict[Any, list[tuple[Any, Interval]]]:
        """Mean and interval over replicas, by the value of `by` and then of `x`; no number, no point."""
        numbers, at = self.column(metric), self.column(x, "x")
        lines: dict[Any, list[tuple[Any, Interval]]] = {}
        for group in self.groups(by, x):
            inside = [i for i in range(len(numbers)) if by is None or self.columns[by][i] == group]
            line = []
            for value in self.values(x):
                samples = [numbers[i] for i in inside if at[i] == value and numbers[i] is not None]
                if samples:
                    line.append((value, mean_interval(np.asarray(samples, float))))
            lines[group] = line
        return lines

    def points(self, metric: str, x: str, by: str | None = None) -> dict[Any, list[tuple[Any, Interval]]]:
        """Mean and interval over replicas of every point on its own, by the value of `by`."""
        lines: dict[Any, list[tuple[Any, Interval]]] = {}
        for group in self.groups(by, x):
            inside = self if by is None else self._only(by, group)
            each = (inside._only("point", point) for point in dict.fromkeys(inside.columns["point"]))
            lines[group] = [pair for rows in each for pair in rows.intervals(metric, x)[None]]
        return lines

    def differences(self, metric: str, factor: str, a: Any, b: Any) -> dict[str, tuple[Interval, float]]:
        """Mean of ``a - b`` over replicas that have both, and the mean of b, at each setting of the other factors."""
        a, b = (self.value(factor, value, "") for value in (a, b))
        others = [name for name in self.factors if name != factor and len(_distinct(self.columns[name])) > 1]
        samples: dict[str, dict[Any, dict[Any, float]]] = {}
        for i, number in enumerate(self.column(metric)):
            setting = ", ".join(short(name, self.columns[name][i]) for name in others)
            if number is not None:
                sides = samples.setdefault(setting, {})
                sides.setdefault(self.columns[factor][i], {})[self.columns["replica"][i]] = float(number)
        found = {}
        for setting, sides in samples.items():
            both = [r for r in sides.get(a, {}) if r in sides.get(b, {})]
            if both:
                of_a, of_b = (np.array([sides[side][r] for r in both]) for side in (a, b))
                found[setting] = (paired(of_a, of_b).difference, float(of_b.mean()))
        return found


def _distinct(values: Sequence[Any]) -> list[Any]:
    """Each value once, numbers ascending, others (truths, too) in their order."""
    once = [value for value in dict.fromkeys(values) if value is not None]
    return sorted(once) if all(type(value) in (int, float) for value in once) else once


@dataclass(frozen=True)
class Scale:
    """Where values of a factor stand on an axis.

    Attributes
    ----------
    at : dict
        Place of each value.
    unit : str
        Unit of places; empty for plain numbers and for categories.
    categories : bool
        Whether places are mere ranks of texts.
    """

    at: dict[Any, float]
    unit: str = ""
    categories: bool = False

    @property
    def spread(self) -> bool:
        """Whether the values span so much that a logarithmic axis shows them better."""
        places = list(self.at.values())
        return not self.categories and min(places, default=0) > 0 and max(places) >= 8 * min(places)


def scale_of(values: Sequence[Any]) -> Scale:
    """Numbers stand where they are, sizes and times with units too, other values side by side."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return Scale({value: float(value) for value in values})
    for parse, unit_of in ((parse_bytes, _size_unit), (parse_ns, time_unit)):
        try:
            base = {value: parse(value) for value in values}
        except (ValueError, TypeError, AttributeError):
            continue
        size, unit = unit_of(max(base.values()))
        return Scale({value: number / size for value, number in base.items()}, unit)
    return Scale({value: float(i) for i, value in enumerate(values)}, "", True)


def short_name(factor: str) -> str:
    """Last part of a factor's path."""
    return factor.rpartition(".")[2]


def short(factor: str, value: Any) -> str:
    """A factor's value for people: texts say what they are, numbers and truths need the factor's name."""
    return value if isinstance(value, str) else f"{short_name(factor)} {text_of(value)}"


def _size_unit(n_bytes: float) -> tuple[int, str]:
    from numa_sim.results.pictures.style import size_unit

    return size_unit(n_bytes)
