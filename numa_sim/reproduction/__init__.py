"""Running a run again: from its folder alone, or at once in another process, and naming the first difference.

`reproduce` makes a run again from its run folder; `run_afresh` does so in a process of other surroundings, which shows
whether the run depends on anything but its configuration and seed.
"""

from numa_sim.reproduction.afresh import run_afresh
from numa_sim.reproduction.again import Reproduction, reproduce
from numa_sim.reproduction.versions import refuse_other_model, version_changes

__all__ = ["Reproduction", "refuse_other_model", "reproduce", "run_afresh", "version_changes"]
