"""Factors with names of their own, axes whose values differ, and points that are one and the same run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numa_sim.config.explain import shown
from numa_sim.config.model import Config
from numa_sim.errors import ConfigError
from numa_sim.results.sweep_columns import RESERVED_COLUMNS

if TYPE_CHECKING:
    from numa_sim.sweep.design import Choice, Point

__all__ = ["refuse_equal_values", "refuse_reserved_factors", "repeated_points"]


def refuse_reserved_factors(config: Config, points: Sequence[Point]) -> None:
    """Refuse a factor of cases that has the name of a column of every sweep's table; ConfigError names it."""
    for choice in {id(choice): choice for point in points for choice in point.choices}.values():
        for name in RESERVED_COLUMNS.intersection(choice.factors):
            message = f"{name!r} is a column of every sweep's table"
            raise ConfigError(config.origin, f"{choice.place}.factor", message, ("another name",))


def refuse_equal_values(config: Config, points: Sequence[Point], names: Sequence[str]) -> None:
    """Refuse two values of a grid's axis that mean the same, like 4MiB and 4096KiB.

    Parameters
    ----------
    config : Config
        The sweep.
    points : sequence of Point
        Its points.
    names : sequence of str [point]
        A name of what each point runs: equal names, equal runs.

    Raises
    ------
    ConfigError
        If two values give the same runs wherever they stand; one that has no effect only beside some values of other
        axes is let be.
    """
    seen: dict[tuple[Any, ...], Choice] = {}
    stands, stands_for_another = Counter[str](), Counter[tuple[str, str]]()
    choices: dict[str, Choice] = {}
    for point, name in zip(points, names, strict=True):
        for choice in point.choices:
            if ".grid." not in choice.place:
                continue
            choices[choice.place] = choice
            stands[choice.place] += 1
            others = tuple(id(other) for other in point.choices if other is not choice)
            first = seen.setdefault((others, *choice.factors, name), choice)
            if first is not choice:
                stands_for_another[first.place, choice.place] += 1
    for (first_place, place), times in stands_for_another.items():
        if times == stands[place]:
            (again,), (before,) = choices[place].factors.values(), choices[first_place].factors.values()
            raise ConfigError(
                config.origin, place, f"{shown(again)} gives the same runs as {shown(before)}", ("another value",)
            )


def repeated_points(names: Sequence[str]) -> dict[int, int]:
    """Points that run what an earlier one runs, and which that is; see `refuse_equal_values` for `names`."""
    first: dict[str, int] = {}
    return {point: first[name] for point, name in enumerate(names) if first.setdefault(name, point) != point}
