"""Files a configuration names: what a run depends on besides the configuration itself."""

from __future__ import annotations

from pathlib import Path

from numa_sim.config.model import Config


def input_files(config: Config) -> tuple[tuple[str, Path], ...]:
    """Files the run of `config` reads, by the path in the configuration that names each.

    Machine descriptions, traces, logs of system calls and images of swap areas; of a folder (``sysfs:DIR``) the files
    in it, in order of their names.
    """
    named: list[tuple[str, str]] = []
    if config.machine.from_ is not None:
        named.append(("machine.from", config.machine.from_.partition(":")[2]))
    for index, area in enumerate(config.machine.swap):
        if area.image is not None:
            named.append((f"machine.swap.{index}.image", area.image))
    for index, workload in enumerate(config.workload):
        if workload.trace is not None:
            named.append((f"workload.{index}.trace.file", workload.trace.file))
            if workload.trace.strace is not None:
                named.append((f"workload.{index}.trace.strace", workload.trace.strace))
    found: list[tuple[str, Path]] = []
    for path, name in named:
        place = config.base / name
        files = sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
        found += [(path, file) for file in files]
    return tuple(found)
