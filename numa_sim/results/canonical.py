"""JSON with exactly one way to write each value, and documents that carry their own digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["SELF", "canonical_json", "file_entry", "ordered_json", "seal", "seal_is_broken", "sha256"]

SELF: Final = "self_sha256"
"""Key of a document's digest of itself (made without this key)."""


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON: sorted keys, indent 2, one newline at the end.

    Raises
    ------
    ValueError
        On NaN and infinities, which JSON does not have.
    """
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def ordered_json(value: Any) -> bytes:
    """As `canonical_json`, but keys in the order of `value`, where that says something; digests do not depend on it."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def sha256(content: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(content).hexdigest()


def file_entry(content: bytes) -> dict[str, Any]:
    """What a manifest says of a file: its size and SHA-256."""
    return {"sha256": sha256(content), "size_bytes": len(content)}


def seal(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with its own digest added."""
    return {**document, SELF: sha256(canonical_json(dict(document)))}


def seal_is_broken(document: Mapping[str, Any]) -> bool:
    """Whether a sealed document is not what it was when it was sealed."""
    rest = {key: value for key, value in document.items() if key != SELF}
    try:
        return document.get(SELF) != sha256(canonical_json(rest))
    except (ValueError, RecursionError):  # NaN, lone surrogates, bottomless nesting: never written by us
        return True
