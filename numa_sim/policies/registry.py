"""Policies by name: the built-in ones, those registered, and those of installed packages."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from typing import TypeVar

from numa_sim.config.model import Config
from numa_sim.errors import ConfigError, PolicyError
from numa_sim.policies.clock import Clock
from numa_sim.policies.dirty_clean import DirtyClean
from numa_sim.policies.fifo import Fifo
from numa_sim.policies.immediate import Immediate
from numa_sim.policies.lru import Lru
from numa_sim.policies.none import NoReplacement
from numa_sim.policies.policy import Policy
from numa_sim.policies.staging import Staging
from numa_sim.policies.whole_process import WholeProcess

ENTRY_POINTS = "numa_sim.policies"
"""Entry point group: a package offers ``name = "its_module:ItsPolicy"`` there, and `find` knows the name."""

KERNEL = "kernel"
"""Name of the reclaim that every kernel has of its own."""

P = TypeVar("P", bound=type[Policy])

_POLICIES: dict[str, type[Policy]] = {}


def register(policy: P) -> P:
    """Make a policy class known by its ``name``; usable as a decorator.

    Raises
    ------
    PolicyError
        If it has no name, or the name is taken, be it by the same class.
    """
    if not policy.name:
        raise PolicyError(policy.__name__, "has no name to be registered by")
    if policy.name in _POLICIES:
        raise PolicyError(policy.name, f"is registered already, as {_POLICIES[policy.name].__qualname__}")
    _POLICIES[policy.name] = policy
    return policy


def names() -> tuple[str, ...]:
    """Names of all policies: the built-in ones first."""
    _register_installed()
    return tuple(_POLICIES)


def find(policy: str | type[Policy] | Policy, where: str = "kernel.reclaim") -> Policy:
    """Return the policy of this name, or a new one of this class; a policy is returned as it is.

    `where` it was named is for the message.

    Raises
    ------
    ConfigError
        If there is no such name (the message names near matches), or `policy` is something else.
    """
    if isinstance(policy, Policy):
        return policy
    if isinstance(policy, type) and issubclass(policy, Policy):
        return policy()
    if not isinstance(policy, str):
        raise ConfigError("", where, f"{policy!r} is no replacement policy", names())
    if policy not in _POLICIES:
        _register_installed()
    if policy in _POLICIES:
        return _POLICIES[policy]()
    near = get_close_matches(policy, names(), n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ConfigError("", where, f"unknown replacement policy {policy!r}{hint}", names())


def of_config(config: Config) -> Policy | None:
    """The policy that ``kernel.reclaim`` names; None for the kernel's own reclaim.

    Raises
    ------
    ConfigError
        If there is none of that name; it names the configuration.
    """
    if config.kernel.reclaim == KERNEL:
        return None
    try:
        return find(config.kernel.reclaim)
    except ConfigError as problem:
        raise ConfigError(config.origin, problem.path, problem.message, (KERNEL, *problem.allowed)) from None


@cache
def _register_installed() -> None:
    """Register what installed packages offer, once."""
    for point in sorted(entry_points(group=ENTRY_POINTS)):
        try:
            policy = point.load()
        except Exception as problem:  # whatever a foreign module raises when imported
            raise PolicyError(point.name, f"entry point {point.value} cannot be loaded: {problem!r}") from problem
        if not (isinstance(policy, type) and issubclass(policy, Policy) and policy.name == point.name):
            raise PolicyError(point.name, f"entry point {point.value} is no policy class of that name")
        register(policy)


for _policy in (NoReplacement, Immediate, Lru, Fifo, Clock, Staging, DirtyClean, WholeProcess):
    register(_policy)
