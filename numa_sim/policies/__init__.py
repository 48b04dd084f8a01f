"""Replacement policies: small classes that say which page goes, run on traces or in the whole machine."""

from numa_sim.policies.policy import PROCESS_SHIFT, Policy, is_of_file, process_of
from numa_sim.policies.registry import find, names, register
from numa_sim.policies.replay import PageTrace, Replay, replay

__all__ = [
    "PROCESS_SHIFT",
    "PageTrace",
    "Policy",
    "Replay",
    "find",
    "is_of_file",
    "names",
    "process_of",
    "register",
    "replay",
]
