"""What made a run folder and what is here: named before a run is made again."""

from __future__ import annotations

import json
import platform
from typing import Any

from numa_sim.errors import RunFolderError
from numa_sim.observe.result import MODEL_VERSION
from numa_sim.results import Run
from numa_sim.results.host import checkout
from numa_sim.results.manifest import ENVIRONMENT, packages
from numa_sim.version import __version__
from numa_sim.workloads.streams import STREAMS_VERSION

__all__ = ["environment_of", "refuse_other_model", "version_changes"]


def environment_of(run: Run) -> dict[str, Any]:
    """``environment.json`` of a run folder that is whole."""
    assert run.folder is not None
    document: dict[str, Any] = json.loads((run.folder / ENVIRONMENT).read_bytes())
    return document


def version_changes(run: Run) -> list[str]:
    """Versions that are not what they were when the run was made, one sentence each; empty if all are the same."""
    then = environment_of(run)
    here_packages = packages()
    pairs = [
        ("model version", run.manifest["model_version"], MODEL_VERSION),
        ("version of the random streams", run.manifest["streams_version"], STREAMS_VERSION),
        ("numa_sim", then["numa_sim"], __version__),
        ("Python", then["python"], platform.python_version()),
        ("processor", then["host"]["machine"], platform.machine()),
        *((name, version, here_packages.get(name, "none")) for name, version in then["packages"].items()),
    ]
    changes = [f"{name}: {was} then, {now} now" for name, was, now in pairs if was != now]
    commits = [_commit(was) for was in (then.get("checkout"), checkout())]
    if all(commits) and (commits[0] != commits[1] or "with changes" in commits[0]):
        changes.append(f"checkout: {commits[0]} then, {commits[1]} now")
    return changes


def _commit(made_from: dict[str, Any] | None) -> str:
    if made_from is None:
        return ""
    return f"{made_from['commit'][:12]}{' with changes' if made_from['dirty'] else ''}"


def refuse_other_model(run: Run) -> None:
    """Do nothing if this numa_sim simulates the model the run was made with.

    Raises
    ------
    RunFolderError
        If the model, or how streams are drawn, is another: the results would differ.
    """
    was, streams = run.manifest["model_version"], run.manifest["streams_version"]
    if was != MODEL_VERSION or streams != STREAMS_VERSION:
        now = f"model {MODEL_VERSION}, streams {STREAMS_VERSION}, which gives other results (--anyway runs it)"
        raise RunFolderError(run.folder, f"was made with model {was}, streams {streams}; this numa_sim has {now}")
