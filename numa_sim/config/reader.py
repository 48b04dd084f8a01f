"""Reading a configuration file, with overrides."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path as FilePath
from typing import Any, Never

from pydantic import ValidationError

from numa_sim.config.explain import Path, config_error, dotted, shown
from numa_sim.config.model import Config
from numa_sim.errors import ConfigError

LARGEST_FILE_BYTES = 16 << 20
CONFIG_VERSION = 1
"""Newest ``format_version`` of a configuration that is known."""


def load(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Config:
    """Configuration of a TOML or JSON file.

    Parameters
    ----------
    path : path-like
        File named ``*.toml`` or ``*.json``.
    overrides : iterable of str
        Settings like ``"workload.0.count=4"`` or ``"kernel.sysctl.vm.vm_passes=10"``, applied in order.  A value is
        read as TOML; what is not TOML is a text.

    Raises
    ------
    ConfigError
        For everything that is wrong with the file, a value in it or an override; a trace file that is not there too.
    """
    file = FilePath(path)
    document = read_document(file)
    _flatten_sysctl(document, str(file))
    overridden: dict[Path, str] = {}
    for text in overrides:
        overridden[apply_override(document, text)] = text
    return build(document, str(file), file.parent, overridden)


def build(
    document: dict[str, Any],
    origin: str,
    base: FilePath,
    overridden: dict[Path, str] | None = None,
    python: bool = False,
) -> Config:
    """Configuration of a document; `base` is where its file names are relative to, errors as `load`.

    A document from a file must name its units; one made in `python` may give quantities as integers.
    """
    config = _validated(document, origin, overridden or {}, python)
    config.located(origin, base, document, python)
    _check_files(config)
    return config


def rebuild(document: dict[str, Any], origin: str, files: Mapping[str, FilePath]) -> Config:
    """Configuration of a run folder's resolved document.

    Parameters
    ----------
    document : dict
        What `Config.resolved` gave.
    origin : str
        File it stands in, for messages.
    files : mapping of str to Path
        Where the files it names are now; the machine's own description need not be there.

    Raises
    ------
    ConfigError
        For a value this version does not accept.
    """
    config = _validated(document, origin, {}, python=False)
    return config.located(origin, FilePath(origin).parent, document, False, files)


def _refuse_newer(document: dict[str, Any], origin: str) -> None:
    """Say that a file is of a later numa_sim, before whatever else in it is unknown here."""
    version = document.get("format_version", CONFIG_VERSION)
    if type(version) is int and version > CONFIG_VERSION:
        raise ConfigError(
            origin, "format_version", f"{version} is of a newer numa_sim", (f"{CONFIG_VERSION}; or upgrade numa_sim",)
        )


def _validated(document: dict[str, Any], origin: str, overridden: dict[Path, str], python: bool) -> Config:
    _refuse_newer(document, origin)
    try:
        return Config.model_validate(document, context=None if python else {"origin": origin})
    except ValidationError as problem:
        raise config_error(problem, document, origin, overridden) from None
    except RecursionError:
        raise ConfigError(origin, "", "tables are nested too deep", ("at most 8 levels",)) from None


def _is_there(file: FilePath) -> bool:
    """Whether `file` can be opened; never raises."""
    return os.path.exists(file) and not os.path.isdir(file)  # noqa: PTH110, PTH112 - Path's own raise if not permitted


def _what_to_do_with(folder: FilePath) -> tuple[str, ...]:
    """What makes the runs of a folder again, given where a configuration file should be."""
    for name, command in (("manifest.json", "reproduce"), ("sweep.json", "sweep status")):
        if _is_there(folder / name):
            return ("a file *.toml or *.json", f"numa-sim {command} {folder}")
    return ()


def read_document(file: FilePath) -> dict[str, Any]:
    """Tables of a TOML or JSON file, as plain Python values."""
    suffix = file.suffix.lower()
    if suffix not in (".toml", ".json") and _is_there(file):
        raise ConfigError(file, "", "a configuration file is told by its name", ("*.toml", "*.json"))
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST_FILE_BYTES + 1)
    except OSError as problem:
        message = f"cannot be read: {problem.strerror or problem}"
        raise ConfigError(file, "", message, _what_to_do_with(file)) from None
    if len(data) > LARGEST_FILE_BYTES:
        raise ConfigError(file, "", "is too large", (f"at most {LARGEST_FILE_BYTES >> 20}MiB",))
    try:
        text = data.decode("utf-8")
        document = tomllib.loads(text) if suffix == ".toml" else _parse_json(text, file)
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise ConfigError(file, f"line {line}", "is not UTF-8 text") from None
    except (ValueError, RecursionError) as problem:
        kind = suffix[1:].upper()
        raise ConfigError(file, "", f"is not {kind}: {str(problem)[:200]}") from None
    if not isinstance(document, dict):
        raise ConfigError(file, "", "must hold a table", ("a JSON object",))
    return document


def _parse_json(text: str, file: FilePath) -> Any:
    """Strict JSON: no key twice, no NaN."""

    def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise ConfigError(file, key, "the key stands twice in one table")
            found[key] = value
        return found

    def refuse(constant: str) -> Never:
        raise ValueError(f"{constant} is not a JSON number")

    return json.loads(text, object_pairs_hook=table, parse_constant=refuse)


def _flatten_sysctl(document: dict[str, Any], origin: str) -> None:
    """Join ``vm.vm_passes = 60`` written without quotes, which TOML reads as a table, into the sysctl's name."""
    kernel = document.get("kernel")
    sysctl = kernel.get("sysctl") if isinstance(kernel, dict) else None
    if not isinstance(kernel, dict) or not isinstance(sysctl, dict):
        return
    flat: dict[str, Any] = {}

    def add(prefix: str, table: dict[str, Any]) -> None:
        for key, value in table.items():
            name = f"{prefix}{key}"
            if isinstance(value, dict) and value:
                add(f"{name}.", value)
            elif name in flat:
                raise ConfigError(origin, f"kernel.sysctl.{name}", "the sysctl is set twice")
            else:
                flat[name] = value

    add("", sysctl)
    kernel["sysctl"] = flat


def apply_override(document: dict[str, Any], text: str) -> Path:
    """Change `document` as ``--set`` text says; returns the path that was set."""
    key, equals, value_text = text.partition("=")
    origin = f"--set {text}"
    if not equals:
        raise ConfigError(origin, "", "is not a setting", ("a.b.0.c=VALUE",))
    return set_at(document, key.strip(), _parse_value(value_text.strip()), origin)


def set_at(document: dict[str, Any], key: str, value: Any, origin: str) -> Path:
    """Put `value` at the dotted path `key` of `document`, making the tables on the way; returns the path.

    Raises
    ------
    ConfigError
        If the path leads through a value, or to a position that a list does not have; `origin` is named.
    """
    parts = key.split(".")
    if not all(parts):
        raise ConfigError(origin, "", "is not a setting", ("a.b.0.c=VALUE",))
    if parts[:2] == ["kernel", "sysctl"] and len(parts) > 3:
        parts = ["kernel", "sysctl", ".".join(parts[2:])]
    path: list[str | int] = []
    place: Any = document
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if isinstance(place, list | tuple):
            if not part.isascii() or not part.isdigit() or part != str(int(part)) or int(part) >= len(place):
                positions = (f"0 to {len(place) - 1}",) if place else ("the list is empty",)
                raise ConfigError(origin, dotted((*path, part)), "no such position in the list", positions)
            step: str | int = int(part)
        elif isinstance(place, dict):
            step = part
            if not last:
                place.setdefault(part, {})
        else:
            raise ConfigError(origin, dotted((*path, part)), f"{dotted(tuple(path))} is {shown(place)}, not a table")
        path.append(step)
        if last:
            place[step] = value
        else:
            place = place[step]
    return tuple(path)


def _parse_value(text: str) -> Any:
    """Value of a ``--set``: TOML if it is some, else the text itself."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if set(parsed) == {"value"} else text


def _check_files(config: Config) -> None:
    """Refuse a configuration whose trace or machine file is not there."""
    machine = config.machine.from_
    if machine is not None:
        kind, _, name = machine.partition(":")
        _check_file(config, "machine.from", name, folder=kind == "sysfs")
    for index, workload in enumerate(config.workload):
        if workload.trace is not None:
            _check_file(config, f"workload.{index}.trace.file", workload.trace.file, folder=False)
            if workload.trace.strace is not None:
                _check_file(config, f"workload.{index}.trace.strace", workload.trace.strace, folder=False)


def _check_file(config: Config, path: str, name: str, folder: bool) -> None:
    if "\0" in name:
        raise ConfigError(config.origin, path, "a file name cannot hold a zero byte")
    place = config.place(name)
    if not (place.is_dir() if folder else place.is_file()):
        what = "folder" if folder else "file"
        wanted = (f"an existing {what}, relative to {config.base.name or 'the configuration'}",)
        raise ConfigError(config.origin, path, f"there is no {what} {str(place)!r}", wanted)
