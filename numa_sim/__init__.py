"""numa_sim: a discrete-event simulator of Linux NUMA memory management.

Everything a notebook needs is a name of this package; each is imported when it is first used, so that
``import numa_sim`` is quick::

    from numa_sim import MiB, Machine, Run, zipf

    def hog(task):
        heap = yield task.mmap(96 * MiB)
        yield task.touch(heap, zipf(0.99), accesses=100_000, write=0.3)

    machine = Machine.of(preset="xeon-e5-2680-2s", memory_per_node="32MiB", swap=[{"device": "nvme", "size": "1GiB"}])
    machine.add(hog, cpus=[0])
    run = Run.of(machine.run_to_end())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numa_sim.version import __version__

if TYPE_CHECKING:
    from numa_sim.config import Config, load
    from numa_sim.errors import NumaSimError
    from numa_sim.observe.result import RunResult
    from numa_sim.processes.machine import Machine
    from numa_sim.results import Run, Sweep, open_run, open_sweep, print_summary, verify_run, write_run
    from numa_sim.results.miss_ratio import miss_ratio_curve
    from numa_sim.results.report import write_report
    from numa_sim.sweep.runner import run_sweep
    from numa_sim.sweep.status import sweep_status
    from numa_sim.topology import Topology, preset, preset_names
    from numa_sim.units import GiB, KiB, MiB, TiB
    from numa_sim.workloads.patterns.given import from_arrays, from_generator
    from numa_sim.workloads.patterns.mix import mix
    from numa_sim.workloads.patterns.phases import phases
    from numa_sim.workloads.patterns.pointer_chase import pointer_chase
    from numa_sim.workloads.patterns.sequential import sequential
    from numa_sim.workloads.patterns.strided import strided
    from numa_sim.workloads.patterns.uniform import uniform
    from numa_sim.workloads.patterns.zipf import zipf
    from numa_sim.workloads.traces import trace_program


__all__ = [
    "Config",
    "GiB",
    "KiB",
    "Machine",
    "MiB",
    "NumaSimError",
    "Run",
    "RunResult",
    "Sweep",
    "TiB",
    "Topology",
    "__version__",
    "from_arrays",
    "from_generator",
    "load",
    "miss_ratio_curve",
    "mix",
    "open_run",
    "open_sweep",
    "phases",
    "pointer_chase",
    "preset",
    "preset_names",
    "print_summary",
    "run_sweep",
    "sequential",
    "strided",
    "sweep_status",
    "trace_program",
    "uniform",
    "verify_run",
    "write_report",
    "write_run",
    "zipf",
]

_HOMES = {
    "config": ("Config", "load"),
    "errors": ("NumaSimError",),
    "observe.result": ("RunResult",),
    "processes.machine": ("Machine",),
    "results.miss_ratio": ("miss_ratio_curve",),
    "results.report": ("write_report",),
    "results": ("Run", "Sweep", "open_run", "open_sweep", "print_summary", "verify_run", "write_run"),
    "sweep": ("run_sweep", "sweep_status"),
    "topology": ("Topology", "preset", "preset_names"),
    "units": ("GiB", "KiB", "MiB", "TiB"),
    "workloads.patterns": (
        "from_arrays", "from_generator", "mix", "phases", "pointer_chase", "sequential", "strided", "uniform", "zipf",
    ),
    "workloads.traces": ("trace_program",),
}  # fmt: skip
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a public name from its module, once."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
