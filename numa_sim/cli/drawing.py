"""``numa-sim plot``: one picture of a run or a sweep, as a file."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from numa_sim.cli.output import refuse_existing
from numa_sim.errors import ConfigError

__all__ = ["draw", "named_values"]

_OVERVIEW: Final = "overview"
_KINDS: Final[tuple[tuple[str, str, Callable[[Any], bool]], ...]] = (
    # What an option's annotation has in it, in words, and whether a value is that.
    ("Mapping", 'factors with values, like {"seed": 1}', lambda value: isinstance(value, dict)),
    ("Sequence[int]", "a list of node numbers, like [0, 1]", lambda value: isinstance(value, list) and _whole(value)),
    ("tuple[str", 'a list of names, like ["a", "b"]', lambda value: isinstance(value, list) and _texts(value)),
    ("bool", "true or false", lambda value: isinstance(value, bool)),
    ("int", "a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    ("str", "a text", lambda value: isinstance(value, str)),
    ("Literal", "a text", lambda value: isinstance(value, str)),
)


def draw(
    folder: Path,
    picture: str | None,
    out: Path | None,
    options: Sequence[str] = (),
    where: Sequence[str] = (),
    against: Path | None = None,
    force: bool = False,
) -> Path:
    """Draw a picture of a run folder or sweep folder and write it.

    Parameters
    ----------
    folder : Path
        Run or sweep folder.
    picture : str, optional
        Its name in `numa_sim.results.pictures.ALL`; else the overview of a run, two_runs of a pair, facets of a sweep.
    out : Path, optional
        File to write; else the picture's name with ``.png``, in the current folder.
    options : sequence of str
        Like ``node=1``: values are JSON, or else texts.
    where : sequence of str
        Like ``kernel.reclaim=lru``: of a sweep, only points with these values of factors.
    against : Path, optional
        A second run folder.
    force : bool
        Whether to write over a file that exists.

    Raises
    ------
    NumaSimError
        If the folder, the picture or an option is wrong, the run lacks a recording, or the file cannot be written.
    """
    from numa_sim.results import open_run
    from numa_sim.results.pictures import drawing
    from numa_sim.results.pictures.figure import save
    from numa_sim.results.sweep_folder import SWEEP

    if out is not None:
        refuse_existing(out, force)
    values = named_values("--option", "NAME=VALUE", options)
    is_sweep = against is None and (folder / SWEEP).is_file()
    if where:
        if not is_sweep:
            raise ConfigError("--where", "", "chooses points of a sweep; a run is one point", ("a sweep folder",))
        values["where"] = named_values("--where", "FACTOR=VALUE", where)
    drawn: Any
    if against is not None:
        picture = picture or "two_runs"
        values.setdefault("names", [folder.name, against.name])
        plot = drawing(picture, "runs").plot
        drawn = plot((open_run(folder), open_run(against)), **_checked(picture, plot, values))
    elif is_sweep:
        from numa_sim.results.sweep import open_sweep

        if picture is None:
            values.setdefault("metric", "end_ns")
        picture = picture or "facets"
        plot = _in_panels if picture == "facets" and "panels" in values else drawing(picture, "sweep").plot
        drawn = plot(open_sweep(folder), **_checked(picture, plot, values))
    elif picture in (None, _OVERVIEW):
        picture = _OVERVIEW
        drawn = open_run(folder).plot(**_checked(picture, lambda source, ax=None: None, values))
    else:
        plot = drawing(str(picture), "run").plot
        drawn = plot(open_run(folder), **_checked(str(picture), plot, values))
    target = out if out is not None else Path(f"{picture}.png")
    refuse_existing(target, force)
    return save(drawn, target)


def _in_panels(
    source: Any,
    ax: Any = None,
    *,
    metric: str,
    panels: str,
    x: str | None = None,
    by: str | None = None,
    where: Mapping[str, Any] | None = None,
) -> Any:
    """Facets with a panel for each value of a third factor."""
    from numa_sim.results.pictures.facets import facets

    return facets(source, metric=metric, x=x, by=by, panels=panels, where=where)


def named_values(option_name: str, form: str, options: Sequence[str]) -> dict[str, Any]:
    """Values by name, as an option that may be repeated gives them: JSON, or else texts; ConfigError without a =."""
    values: dict[str, Any] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not equals:
            raise ConfigError(option_name, "", f"{option!r} says nothing", (form,))
        try:
            values[name.strip()] = json.loads(text)
        except ValueError:
            values[name.strip()] = text
    return values


def _checked(picture: str, plot: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    """The options, if the picture takes them all, has all it needs, and each is of the right kind."""
    every = list(inspect.signature(plot).parameters.values())[2:]  # after what is drawn, and the Axes
    known = [parameter for parameter in every if _can_be_written(str(parameter.annotation))]
    for name in values:
        if name not in [parameter.name for parameter in known]:
            raise ConfigError("--option", name, f"{picture} has no such option", [p.name for p in known] or ["none"])
    for parameter in known:
        if parameter.name in values:
            _check_kind(parameter, values[parameter.name])
        elif parameter.default is inspect.Parameter.empty:
            raise ConfigError("--option", parameter.name, f"{picture} needs it", (f"--option {parameter.name}=...",))
    return values


def _can_be_written(annotation: str) -> bool:
    return annotation == "Any" or any(word in annotation for word, _, _ in _KINDS)


def _check_kind(parameter: inspect.Parameter, value: Any) -> None:
    annotation = str(parameter.annotation)
    for word, words, fits in _KINDS:
        if word in annotation:
            if not fits(value):
                raise ConfigError("--option", parameter.name, f"{json.dumps(value)} is not {words}", (words,))
            return


def _texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _whole(values: list[Any]) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) for value in values)
