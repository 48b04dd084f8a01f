"""A run made again from its folder alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from numa_sim.config.reader import rebuild
from numa_sim.config.resolve import topology_of
from numa_sim.errors import RunFolderError
from numa_sim.processes.machine import Machine
from numa_sim.reproduction.inputs import locate_inputs
from numa_sim.reproduction.versions import environment_of, refuse_other_model
from numa_sim.results import Run, check_run, open_run, write_run
from numa_sim.results.difference import Difference, are_alike, differences
from numa_sim.results.durable import existing_folder
from numa_sim.results.manifest import MANIFEST, TOPOLOGY

__all__ = ["Reproduction", "machine_again", "reproduce"]


@dataclass(frozen=True)
class Reproduction:
    """A run and what came out when it was made again.

    Parameters
    ----------
    run : Run
        The run folder it was made from.
    found : tuple of Difference
        The first difference within each file that differs, recorded events first; empty: the same.
    alike : bool
        Whether both were written in the same form; False: `run` is of an older numa_sim, and what it has was compared.
    """

    run: Run
    found: tuple[Difference, ...] = ()
    alike: bool = True

    @property
    def same(self) -> bool:
        """Whether every file came out the same: byte for byte, or in all that an older numa_sim wrote."""
        return not self.found

    def __str__(self) -> str:
        manifest = self.run.manifest
        if self.same:
            files = f"{len(manifest['files'])} files, event hash {manifest['event_hash']}"
            how = "byte for byte" if self.alike else "in all that the older numa_sim wrote"
            return f"the same, {how} ({files})"
        more = f" (and {len(self.found) - 1} more files)" if len(self.found) > 1 else ""
        return f"differs in {self.found[0]}{more}"


def reproduce(
    folder: Path | str,
    out: Path | str | None = None,
    *,
    inputs: Sequence[Path | str] = (),
    anyway: bool = False,
    progress: Callable[[Machine], None] | None = None,
) -> Reproduction:
    """Run the run in a folder again, from that folder alone, and compare.

    Works anywhere, without the configuration file it was made from and without a network.  What a run was given in
    Python (programs that are generators, a policy that is an object) is not in its folder; such a run is refused.

    Parameters
    ----------
    folder : path
        Run folder.
    out : path, optional
        Run folder to write; by default it is removed after the comparison.
    inputs : sequence of path
        Folders that hold input files which the run folder does not.
    anyway : bool
        Also if the model version is another.
    progress : callable, optional
        Called with the machine at every sample.

    Raises
    ------
    RunFolderError
        The folder is not whole, was made with another model version, needs what it does not hold, or `out` exists.
    NumaSimError
        Whatever running it can raise.
    """
    run, machine = machine_again(folder, inputs=inputs, anyway=anyway)
    with tempfile.TemporaryDirectory(prefix="numa-sim-") as temporary:
        written = write_run(
            machine.run_to_end(progress), out if out is not None else Path(temporary) / "again", picture=False
        )
        again = open_run(written)
        return Reproduction(run, tuple(differences(run, again)), are_alike(run, again))


def machine_again(
    folder: Path | str, *, inputs: Sequence[Path | str] = (), anyway: bool = False
) -> tuple[Run, Machine]:
    """Read a run folder, and make its machine as it was before the first event; errors are those of `reproduce`."""
    check_run(folder)
    run = open_run(folder)
    assert run.folder is not None
    if beyond := run.manifest["beyond_config"]:
        raise RunFolderError(folder, f"cannot be run again from its folder: {', '.join(beyond)} was given in Python")
    if not anyway:
        refuse_other_model(run)
    places = [existing_folder(place) for place in inputs]
    files = locate_inputs(run, places, environment_of(run).get("config_folder"))
    config = rebuild(run.manifest["config"], str(run.folder / MANIFEST), files)
    kept = (run.folder / TOPOLOGY).is_file()
    return run, Machine(config, run.topology if kept else topology_of(config))
