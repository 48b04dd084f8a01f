"""Factors of a sweep as its tables have them: each of one type in the whole design, in the design's order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from numa_sim.errors import RunFolderError
from numa_sim.results.sweep_folder import SweepDesign

__all__ = [
    "factor_kind",
    "factor_values",
    "grouped_points",
    "is_grid",
    "named_points",
    "point_factors",
    "sampled_factors",
    "selected_points",
    "text_of",
    "zipped_with",
]

_MOST_NAMED: Final = 4


def factor_kind(design: SweepDesign, name: str) -> str:
    """Type of a factor's column: int, float, bool or text."""
    values = [run.factors[name] for run in design.runs if run.factors.get(name) is not None]
    if values and all(isinstance(value, bool) for value in values):
        return "bool"
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return "text"
    if all(isinstance(value, int) and -(1 << 63) <= value < 1 << 63 for value in values):
        return "int"
    return "float"


def point_factors(design: SweepDesign) -> dict[int, dict[str, Any]]:
    """Value of each factor at each point, of the factor's type; None at points that do not have it."""
    kinds = {name: factor_kind(design, name) for name in design.factors}
    points: dict[int, dict[str, Any]] = {}
    for run in design.runs:
        if run.point not in points:
            points[run.point] = {name: _typed(run.factors.get(name), kind) for name, kind in kinds.items()}
    return points


def factor_values(design: SweepDesign) -> dict[str, list[Any]]:
    """Values of each factor in the order in which the design comes to them; points without it have none."""
    points = point_factors(design).values()
    found = {name: dict.fromkeys(factors[name] for factors in points) for name in design.factors}
    return {name: [value for value in values if value is not None] for name, values in found.items()}


def text_of(value: Any) -> str:
    """A factor's value for people, as configurations and ``--where`` have it; - for a point without the factor."""
    return "-" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def named_points(design: SweepDesign, points: Sequence[int]) -> str:
    """Points by the factors they have, the first ones of many."""
    factors = point_factors(design)
    named = [
        ", ".join(f"{name} = {text_of(value)}" for name, value in factors[point].items() if value is not None)
        or "the only point"
        for point in points[:_MOST_NAMED]
    ]
    left = len(points) - len(named)
    return f"{'; '.join(named)}{f'; and {left} more' if left > 0 else ''}"


def is_grid(design: SweepDesign) -> bool:
    """Whether the points are all combinations of the factors' values, each once."""
    points = list(point_factors(design).values())
    combinations = 1
    for values in factor_values(design).values():
        combinations *= len(values)
    distinct = {tuple(factors.values()) for factors in points}
    return len(points) == len(distinct) == combinations and not any(None in each for each in distinct)


def selected_points(design: SweepDesign, where: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Points at which factors have the values of `where`; a value may be given as its text.

    Raises
    ------
    RunFolderError
        For an unknown factor or a value it never has.
    """
    _check_factors(design, list(where))
    known, points = factor_values(design), point_factors(design)
    for name, wanted in where.items():
        value = next((value for value in known[name] if value == wanted or text_of(value) == text_of(wanted)), None)
        if value is None:
            said = ", ".join(map(text_of, known[name]))
            raise RunFolderError(design.folder, f"factor {name} never is {text_of(wanted)!r} (allowed: {said})")
        points = {point: factors for point, factors in points.items() if factors[name] == value}
    return points


def grouped_points(
    design: SweepDesign, points: Mapping[int, Mapping[str, Any]], by: Sequence[str]
) -> dict[tuple[Any, ...], list[int]]:
    """Points by their values of the factors `by`, in the order of the design; RunFolderError for an unknown factor."""
    _check_factors(design, by)
    groups: dict[tuple[Any, ...], list[int]] = {}
    for point, factors in points.items():
        groups.setdefault(tuple(factors[name] for name in by), []).append(point)
    return groups


def _check_factors(design: SweepDesign, names: Sequence[str]) -> None:
    for name in names:
        if name not in design.factors:
            said = f" (allowed: {', '.join(design.factors)})" if design.factors else ": nothing was varied"
            raise RunFolderError(design.folder, f"has no factor {name!r}{said}")


def _typed(value: Any, kind: str) -> Any:
    """A factor's value as its column has it; whole tables become JSON on one line."""
    if value is None or kind in ("int", "bool") or (kind == "text" and isinstance(value, str)):
        return value
    return float(value) if kind == "float" else json.dumps(value, sort_keys=True, ensure_ascii=False)


def zipped_with(design: SweepDesign, factor: str) -> set[str]:
    """Factors that stand in one ``zip`` with this one and change with it only: they are part of what is compared."""
    lists = [part.get("zip") or {} for part in _parts(design)]
    names = {name for together in lists if factor in together for name in together} - {factor}
    values = {
        name: {(str(run.factors.get(factor)), str(run.factors.get(name))) for run in design.runs} for name in names
    }
    return {name for name, pairs in values.items() if len(pairs) == len({value for value, _ in pairs})}


def sampled_factors(design: SweepDesign) -> frozenset[str]:
    """Factors of points that fill a space: no two of them differ in one factor only."""
    samples = (part.get("sample") or {} for part in _parts(design))
    return frozenset(name for sample in samples for name in sample.get("ranges", ()))


def _parts(design: SweepDesign) -> list[Mapping[str, Any]]:
    """Table ``[sweep]`` and its groups."""
    sweep = design.config.get("sweep") or {}
    return [sweep, *sweep.get("groups", ())]
