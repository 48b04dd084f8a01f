"""The whole configuration of a run."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, model_validator

from numa_sim.config.costs import Costs
from numa_sim.config.kernel import Kernel
from numa_sim.config.machine import Machine
from numa_sim.config.mempolicy import MemPolicy
from numa_sim.config.program_check import opened, policies, signalled, switched
from numa_sim.config.quantities import Section, refuse
from numa_sim.config.run import Run
from numa_sim.config.sweep import Sweep
from numa_sim.config.workload import MAX_TASKS, Workload


class Config(Section):
    """A run: machine, kernel, costs, workloads and the run itself.

    Frozen; equal configurations have equal `sha256`.  Made by `numa_sim.config.load` from a file or
    by `Config.of` in Python.
    """

    machine: Machine
    kernel: Kernel = Kernel()
    costs: Costs = Costs()
    workload: Annotated[tuple[Workload, ...], Field(strict=False)] = Field(
        (), max_length=MAX_TASKS, description="the tasks"
    )
    run: Run = Run()
    sweep: Sweep | None = Field(None, description="many runs: values of fields, replicas")
    format_version: int = Field(
        1, ge=1, le=1, description="version of this file's keys; later versions of numa_sim read all earlier ones"
    )

    _origin: str = PrivateAttr("<python>")
    _base: Path = PrivateAttr(default_factory=Path)
    _document: dict[str, Any] | None = PrivateAttr(None)
    _python: bool = PrivateAttr(True)
    _files: Mapping[str, Path] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _names_and_number(self) -> Self:
        names: dict[str, int] = {}
        tasks = 0
        for index, workload in enumerate(self.workload):
            if workload.name in names:
                taken = f"workload {names[workload.name]} has the name {workload.name!r} already"
                raise refuse(taken, ("a name of its own",), f"workload.{index}.name")
            names[workload.name] = index
            tasks += workload.count
            if tasks > MAX_TASKS:
                raise refuse(f"more than {MAX_TASKS} tasks", (f"{MAX_TASKS} in all",), f"workload.{index}.count")
        if self.kernel.max_tasks is not None and self.kernel.max_tasks < tasks:
            raise refuse(f"fewer than the {tasks} tasks of the workloads", (f"{tasks} or more",), "kernel.max_tasks")
        return self

    @model_validator(mode="after")
    def _files_and_areas_exist(self) -> Self:
        files = tuple(file.name for file in self.machine.file)
        areas = self.machine.swap_names()
        names = tuple(name for workload in self.workload for name in workload.task_names())
        for index, workload in enumerate(self.workload):
            for path, name in opened(workload.program or (), f"workload.{index}.program"):
                if name not in files:
                    raise refuse(f"there is no file {name!r}", files or ("no [[machine.file]] is given",), path)
            for path, name in signalled(workload.program or (), f"workload.{index}.program"):
                if name not in names and "/" not in name:  # a child's name follows from its parent's as the run goes on
                    raise refuse(f"there is no task {name!r}", names, path)
            for path, name in switched(workload.program or (), f"workload.{index}.program"):
                if name not in areas:
                    raise refuse(f"there is no swap area {name!r}", areas or ("no [[machine.swap]] is given",), path)
        return self

    @model_validator(mode="after")
    def _kernel_knows_policies(self) -> Self:
        for path, _ in policies_of(self):
            if self.kernel.profile == "linux-2.2":
                message = "linux-2.2 has one list of free pages for all nodes: no memory policy can choose from it"
                raise refuse(message, ("remove it", 'kernel.profile = "linux-2.4.0" or later'), path)
        return self

    @classmethod
    def of(cls, **tables: Any) -> Config:
        """Configuration from Python values: ``Config.of(machine={"preset": ...}, run={"seed": 7})``.

        Quantities may be texts with units or integers in bytes, ns and bytes/s.

        Raises
        ------
        ConfigError
            As `numa_sim.config.load`; the file is ``<python>``.
        """
        from numa_sim.config.reader import build  # the reader needs this module

        return build(tables, "<python>", Path(), python=True)

    @property
    def origin(self) -> str:
        """File the configuration came from, for messages; ``<python>`` when built in Python."""
        return self._origin

    @property
    def base(self) -> Path:
        """Directory that relative file names are relative to."""
        return self._base

    def place(self, name: str) -> Path:
        """Where the file is that the configuration calls `name`."""
        return self._files.get(name, self._base / name)

    def located(
        self,
        origin: str,
        base: Path,
        document: dict[str, Any],
        python: bool,
        files: Mapping[str, Path] | None = None,
    ) -> Config:
        """Remember where the configuration came from (not part of its value); returns itself.

        Parameters
        ----------
        origin : str
            File, for messages.
        base : Path
            Directory that relative file names are relative to.
        document : dict
            What it was written as.
        python : bool
            Whether quantities may stand there as integers.
        files : mapping of str to Path, optional
            Files that lie elsewhere now, by the names the configuration has for them.
        """
        self._origin = origin
        self._base = base
        self._document = document
        self._python = python
        self._files = files or {}
        return self

    def document(self) -> dict[str, Any]:
        """What it was written as, without its sweep: a copy, to be changed and built again."""
        document = copy.deepcopy(self._document) if self._document is not None else self.resolved()
        document.pop("sweep", None)
        return document

    @property
    def from_python(self) -> bool:
        """Whether quantities may stand in `document` as integers in base units."""
        return self._python

    def varied(self, vary: Callable[[dict[str, Any]], None]) -> Config:
        """Another configuration: `document` as `vary` changes it.

        Values that were left to their defaults are so again, where the defaults depend on what was changed.

        Raises
        ------
        ConfigError
            As `numa_sim.config.load`.
        """
        from numa_sim.config.reader import build

        document = self.document()
        vary(document)
        return build(document, self._origin, self._base, python=self._python)

    def resolved(self) -> dict[str, Any]:
        """Every value, defaults included, as plain JSON types; loading it again gives an equal configuration."""
        document: dict[str, Any] = self.model_dump(mode="json", by_alias=True)
        if self.sweep is None:
            del document["sweep"]
        del document["format_version"]  # what holds a resolved configuration says its own
        for area, name in zip(document["machine"]["swap"], self.machine.swap_names(), strict=True):
            area["name"] = name
        return document

    @property
    def sha256(self) -> str:
        """SHA-256 of the canonical JSON text of `resolved`."""
        text = json.dumps(self.resolved(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()


def policies_of(config: Config) -> list[tuple[str, MemPolicy]]:
    """Path and memory policy of every place in a configuration that names one."""
    found = []
    for index, workload in enumerate(config.workload):
        if workload.policy is not None:
            found.append((f"workload.{index}.policy", workload.policy))
        found += policies(workload.program or (), f"workload.{index}.program")
    return found
