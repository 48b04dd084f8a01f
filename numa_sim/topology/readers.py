"""One way to name any machine: a preset, or a file of one of the supported forms."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from numa_sim.errors import TopologyError
from numa_sim.topology import hwloc, numactl, presets, sysfs
from numa_sim.topology.model import Topology

READERS: Final[dict[str, Callable[[str | Path], Topology]]] = {
    "numactl": numactl.read,
    "sysfs": sysfs.read,
    "hwloc": hwloc.read,
    "toml": presets.read,
}
"""Reader of each form of ``FORM:PATH``."""


def load(spec: str, folder: str | Path = ".") -> Topology:
    """Return the machine `spec` names.

    Parameters
    ----------
    spec : str
        A preset's name, or ``"numactl:FILE"``, ``"sysfs:DIR"``, ``"hwloc:FILE"``, ``"toml:FILE"``.
    folder : path
        Where relative paths start (a configuration's folder).

    Raises
    ------
    TopologyError
        Unknown preset (with near matches) or form, or a wrong file (with the line or element).
    """
    form, colon, path = spec.partition(":")
    if not colon:
        return presets.preset(spec)
    if form not in READERS:
        raise TopologyError(spec, "", f"unknown form {form!r} (allowed: {', '.join(f'{f}:PATH' for f in READERS)})")
    if not path:
        raise TopologyError(spec, "", f"a path must follow {form!r} and the colon")
    return READERS[form](Path(folder) / path)
