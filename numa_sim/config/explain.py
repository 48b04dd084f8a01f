"""From a failed validation to one message a user can act on: where, what, and what would be right."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from numa_sim.config.schema import allowed_values, node_at
from numa_sim.errors import ConfigError

DISCRIMINATORS = ("op", "kind", "device")
_SHOWN = 48

Path = tuple[str | int, ...]


def dotted(path: Path) -> str:
    """Path as ``--set`` takes it: ``workload.0.program.1.on``."""
    return ".".join(str(part) for part in path)


def near(word: object, words: tuple[str, ...]) -> str:
    """Text that names what `word` was probably meant to be; empty when nothing is near."""
    folded = {candidate.casefold(): candidate for candidate in words}
    match = get_close_matches(str(word).casefold(), list(folded), n=1, cutoff=0.6)
    return f"; did you mean {folded[match[0]]!r}?" if match else ""


def shown(value: object) -> str:
    """Text of `value` short enough for a message."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _document_path(location: Path, document: object) -> Path:
    """Path in the document: pydantic's own, less the names of the union variants it puts in between."""
    path: list[str | int] = []
    value: Any = document
    tag_open = True
    for part in location:
        is_tag = isinstance(value, dict) and any(value.get(key) == part for key in DISCRIMINATORS)
        if tag_open and is_tag:
            tag_open = False
            continue
        path.append(part)
        tag_open = True
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list | tuple):
            value = value[part] if isinstance(part, int) and part < len(value) else None
        else:
            value = None
    return tuple(path)


def _explain(error: ErrorDetails, document: object) -> tuple[Path, str, tuple[str, ...]]:
    """Path, message and allowed values of one of pydantic's errors."""
    path = _document_path(error["loc"], document)
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "numa_sim":
        at = tuple(int(part) if part.isdigit() else part for part in context["at"].split(".") if part)
        allowed = context["allowed"] or allowed_values(node_at(path + at, document))
        return path + at, context["message"], allowed
    if kind == "extra_forbidden":
        table = node_at(path[:-1], document) or {}
        keys = tuple(table.get("properties", ()))
        return path, f"unknown key{near(path[-1], keys)}", keys
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        key = str(context["discriminator"]).strip("'")
        table = node_at(path, document) or {}
        tags = tuple(table.get("discriminator", {}).get("mapping", ()))
        tag = value.get(key) if isinstance(value, dict) else None
        message = "missing" if tag is None else f"{shown(tag)} is not one of them{near(tag, tags)}"
        return (*path, key), message, tags
    allowed = allowed_values(node_at(path, document))
    if kind == "missing":
        return path, "missing", allowed
    if kind == "literal_error":
        return path, f"{shown(value)} is not one of them{near(value, allowed)}", allowed
    return path, _plain(error["msg"], value), allowed


def _plain(message: str, value: object) -> str:
    """Say pydantic's message about `value` in the words of a configuration file."""
    message = re.sub(r"valid dictionary( or instance of \w+)?", "table", message)
    message = message.replace("valid tuple", "list").replace("valid string", "text").replace("Tuple", "the list")
    if message.startswith("Input should"):
        return f"{shown(value)} {message.removeprefix('Input ')}"
    return f"{shown(value)}: {message}"


def config_error(problem: ValidationError, document: object, origin: str, overridden: dict[Path, str]) -> ConfigError:
    """Build the error of the first thing wrong in `document`, which came from `origin`.

    A misspelt key is named before the missing one that it causes.  `overridden` maps paths to the ``--set`` texts
    that set them, so that the message can say so.
    """
    errors = sorted(problem.errors(include_url=False), key=lambda error: error["type"] != "extra_forbidden")
    path, message, allowed = _explain(errors[0], document)
    for place, text in overridden.items():
        if path[: len(place)] == place:
            origin = f"{origin} (--set {text})"
            break
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ConfigError(origin, dotted(path), message + more, allowed)
