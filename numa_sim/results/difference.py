"""Where two run folders that should be equal part: the file, and the event, row, key, line or byte in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, NamedTuple

from numa_sim.observe.events import OPERANDS
from numa_sim.results import tables
from numa_sim.results.manifest import MANIFEST
from numa_sim.results.run import Run
from numa_sim.units import format_ns

__all__ = ["Difference", "are_alike", "difference_in_bytes", "differences", "first_in_documents"]

EVENTS: Final = "events.parquet"
_KEYS: Final = ("run", "t_ns", "node", "area", "disk", "cpu", "file")
"""Columns that say which row of a table it is."""
_OUTCOME: Final = ("seed", "exit_state", "end_ns", "event_count", "event_hash", "warnings")
_OF_A_VERSION: Final = {"state_hash"}
"""Depends on how the state is laid out, which may be otherwise in every version."""
_SHOWN: Final = 70


class Difference(NamedTuple):
    """The first difference within one file: where in it (may be empty), what stands there in the one and the other."""

    file: str
    where: str
    one: str
    other: str

    def __str__(self) -> str:
        place = f"{self.file}: {self.where}" if self.where else self.file
        return f"{place}: {self.one} | {self.other}"


def differences(one: Run, other: Run) -> list[Difference]:
    """Compare two run folders in all that follows from configuration and seed.

    Parameters
    ----------
    one, other : Run
        Runs opened from their folders; `one` is the older.

    Returns
    -------
    list of Difference
        One for each file that is not the same, byte for byte (see `are_alike` for runs of different versions): recorded
        events first, then time series, then the rest by name, the manifest last.  Empty if all are equal.
    """
    assert one.folder is not None
    assert other.folder is not None
    alike = are_alike(one, other)
    files = {*one.manifest["files"], *(other.manifest["files"] if alike else ())}
    found = []
    for name in sorted(files, key=_order):
        difference = _in_file(name, one.folder / name, other.folder / name, alike)
        if difference is not None:
            found.append(difference)
    parting = first_in_documents(_told(one.manifest, alike), _told(other.manifest, alike))
    return [*found, Difference(MANIFEST, *parting)] if parting is not None else found


def are_alike(one: Run, other: Run) -> bool:
    """Whether two runs were written in the same form, so that their bytes can be equal.

    Else `one` is of an older numa_sim, and what it has (files, keys, columns) is compared by value.
    """
    same_version = bool(one.manifest["format_version"] == other.manifest["format_version"])
    return same_version and _keys(one.manifest["config"]) == _keys(other.manifest["config"])


def _keys(document: Any) -> Any:
    if isinstance(document, Mapping):
        return {key: _keys(value) for key, value in document.items()}
    return [_keys(value) for value in document] if isinstance(document, list) else None


def _told(manifest: Mapping[str, Any], alike: bool) -> dict[str, Any]:
    """What to compare of a manifest: all but the digests of files, or how the run ended if the forms are not alike."""
    if not alike:
        return {key: manifest[key] for key in _OUTCOME}
    return {key: value for key, value in manifest.items() if key not in ("files", "self_sha256")}


def _order(name: str) -> tuple[int, str]:
    return (0 if name == EVENTS else 1 if name.startswith("timeseries") else 2, name)


def _in_file(name: str, one: Path, other: Path, alike: bool) -> Difference | None:
    if not one.is_file() or not other.is_file():
        return Difference(name, "", *("is there" if file.is_file() else "is not there" for file in (one, other)))
    return difference_in_bytes(name, one.read_bytes(), other.read_bytes(), alike)


def difference_in_bytes(name: str, left: bytes, right: bytes, alike: bool = True) -> Difference | None:
    """First difference between two contents of a file of this name; None if there is none.

    Unless `alike`, `left` is of an older numa_sim, and what it has is compared by value.
    """
    if left == right:
        return None
    if name.endswith(".parquet"):
        parting = _in_tables(name, tables.read_parquet(left), tables.read_parquet(right), alike)
    elif name.endswith(".json"):
        parting = first_in_documents(json.loads(left), json.loads(right), alike=alike)
    else:
        parting = _in_text(left, right)
    if parting is None and not alike:
        return None
    return Difference(name, *(parting or ("", "the same contents", "written in other bytes")))


def first_in_documents(one: Any, other: Any, path: str = "", alike: bool = True) -> tuple[str, str, str] | None:
    """First path, by name, at which two JSON values differ, and the values there; None if they are equal."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other} if alike else {*one} - _OF_A_VERSION):
            inner = f"{path}.{key}" if path else str(key)
            if key not in one or key not in other:
                return inner, _value_of(one, key), _value_of(other, key)
            if (found := first_in_documents(one[key], other[key], inner, alike)) is not None:
                return found
        return None
    if isinstance(one, list) and isinstance(other, list):
        for number, (left, right) in enumerate(zip(one, other, strict=False)):
            if (found := first_in_documents(left, right, f"{path}.{number}".strip("."), alike)) is not None:
                return found
        return None if len(one) == len(other) else (path, f"{len(one)} values", f"{len(other)} values")
    return None if type(one) is type(other) and one == other else (path, _shown(one), _shown(other))


def _value_of(document: Mapping[str, Any], key: str) -> str:
    return _shown(document[key]) if key in document else "is not there"


def _in_tables(name: str, one: Any, other: Any, alike: bool) -> tuple[str, str, str] | None:
    """First row at which two tables differ; of events what happened, of others the first column that differs."""
    if not alike and {*one.column_names} <= {*other.column_names}:
        other = other.select(one.column_names)
    if one.column_names != other.column_names:
        missing = {*one.column_names} ^ {*other.column_names}
        return f"columns, such as {min(missing, default='their order')}", str(one.num_columns), str(other.num_columns)
    first = min(one.num_rows, other.num_rows)
    column = ""
    for candidate in one.column_names:
        row = _first_row(one.column(candidate), other.column(candidate), first)
        if row < first:
            first, column = row, candidate
    if not column and one.num_rows == other.num_rows:
        return _in_metadata(one, other)
    if name == EVENTS:
        return f"event {first}", _event(one, first), _event(other, first)
    if not column:
        return f"row {first}", f"{one.num_rows} rows", f"{other.num_rows} rows"
    keys = [f"{key}={one.column(key)[first].as_py()}" for key in _KEYS if key in one.column_names and key != column]
    where = f"row {first} ({', '.join(keys)}), column {column}"
    left, right = one.column(column)[first].as_py(), other.column(column)[first].as_py()
    if isinstance(left, str) and isinstance(right, str) and (parting := _in_text(left.encode(), right.encode())):
        return f"{where}, {parting[0]}", *parting[1:]
    return where, _shown(left), _shown(right)


def _in_metadata(one: Any, other: Any) -> tuple[str, str, str] | None:
    """What equal tables say of themselves, such as how many events there were beyond those recorded."""
    return first_in_documents(_metadata(one), _metadata(other))


def _metadata(table: Any) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}


def _first_row(one: Any, other: Any, below: int) -> int:
    """First row below `below` in which two columns differ; `below` if there is none."""
    one, other = one.slice(0, below), other.slice(0, below)
    if one.equals(other):
        return below
    pairs = zip(one.to_pylist(), other.to_pylist(), strict=True)
    return next((row for row, (left, right) in enumerate(pairs) if left != right), below)


def _event(table: Any, number: int) -> str:
    if number >= table.num_rows:
        return f"none, {table.num_rows} are recorded"
    event = {name: table.column(name)[number].as_py() for name in table.column_names}
    operands = zip(OPERANDS.get(event["event"], ("a", "b")), (event["a"], event["b"]), strict=False)
    text = " ".join(f"{key}={value}" for key, value in operands)
    return f"at {format_ns(event['t_ns'])} task {event['task']} {event['event']} {text}".rstrip()


def _in_text(one: bytes, other: bytes) -> tuple[str, str, str] | None:
    """First line, or of files that are no text the first byte, at which two files differ."""
    try:
        lines = zip_longest(one.decode().splitlines(), other.decode().splitlines(), fillvalue="no such line")
    except UnicodeDecodeError:
        equal = (left == right for left, right in zip(one, other, strict=False))
        at = next((i for i, same in enumerate(equal) if not same), min(len(one), len(other)))
        return f"byte {at}", one[at : at + 8].hex(" ") or "the end", other[at : at + 8].hex(" ") or "the end"
    for number, (left, right) in enumerate(lines, 1):
        if left != right:
            return f"line {number}", _shown(left.strip()), _shown(right.strip())
    return None


def _shown(value: Any) -> str:
    text = " ".join(value.split()) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
