"""Access patterns: what to touch, in which order.  ``task.touch(heap, zipf(0.99), accesses=1_000_000, write=0.3)``."""

from numa_sim.workloads.patterns.given import from_arrays, from_generator
from numa_sim.workloads.patterns.mix import mix
from numa_sim.workloads.patterns.none import none
from numa_sim.workloads.patterns.phases import phases
from numa_sim.workloads.patterns.pointer_chase import pointer_chase
from numa_sim.workloads.patterns.sequential import sequential
from numa_sim.workloads.patterns.source import AccessSource, Binding, Pattern
from numa_sim.workloads.patterns.strided import strided
from numa_sim.workloads.patterns.uniform import uniform
from numa_sim.workloads.patterns.zipf import zipf

__all__ = [
    "AccessSource",
    "Binding",
    "Pattern",
    "from_arrays",
    "from_generator",
    "mix",
    "none",
    "phases",
    "pointer_chase",
    "sequential",
    "strided",
    "uniform",
    "zipf",
]
