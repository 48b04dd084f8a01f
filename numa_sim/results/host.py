"""The host a run is made on: its CPU, the checkout numa_sim runs from, the recorded traces that come with it."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

__all__ = ["checkout", "cpu_model", "shipped_trace"]

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_TRACES: Final = (_PACKAGE / "configs" / "traces", _PACKAGE.parent / "configs" / "traces")
"""Where the recorded traces are: inside an installed package, else in the checkout."""


@cache
def cpu_model() -> str:
    """The host CPU's own name; empty if it does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(names, platform.processor())


@cache
def checkout() -> dict[str, Any] | None:
    """Commit of the git checkout this package lies in, and whether files in it were changed; None elsewhere."""
    top = _PACKAGE.parent
    if not (top / ".git").exists():
        return None
    try:
        commit = _git(top, "rev-parse", "HEAD")
        changed = _git(top, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):  # no git, another owner's folder, ...
        return None
    return {"commit": commit, "dirty": bool(changed)}


def _git(top: Path, *arguments: str) -> str:
    command = ["git", "-C", str(top), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


@cache
def shipped_trace(sha256: str, size_bytes: int) -> Path | None:
    """The recorded trace that comes with numa_sim and has this content; None if there is none."""
    for folder in _TRACES:
        if not folder.is_dir():
            continue
        for file in sorted(folder.iterdir()):
            if file.stat().st_size == size_bytes and hashlib.sha256(file.read_bytes()).hexdigest() == sha256:
                return file
    return None
