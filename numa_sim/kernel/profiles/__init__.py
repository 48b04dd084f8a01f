"""Kernel profiles by name: which constants make which Linux."""

from __future__ import annotations

from difflib import get_close_matches

from numa_sim.errors import ConfigError
from numa_sim.kernel.profiles.linux_2_2 import LINUX_2_2
from numa_sim.kernel.profiles.linux_2_4_0 import LINUX_2_4_0
from numa_sim.kernel.profiles.linux_2_4_22 import LINUX_2_4_22
from numa_sim.kernel.profiles.linux_2_4_37 import LINUX_2_4_37
from numa_sim.kernel.profiles.profile import Profile

__all__ = ["Profile", "get", "names", "register"]

_PROFILES: dict[str, Profile] = {}


def register(profile: Profile) -> Profile:
    """Make `profile` known by its name.

    Raises
    ------
    ConfigError
        If the name is taken, be it by the same profile.
    """
    if profile.name in _PROFILES:
        raise ConfigError("", "kernel.profile", f"profile {profile.name!r} is registered already", names())
    _PROFILES[profile.name] = profile
    return profile


def names() -> tuple[str, ...]:
    """Names of all profiles, in the order they were registered."""
    return tuple(_PROFILES)


def get(name: str) -> Profile:
    """Profile of this name.

    Raises
    ------
    ConfigError
        If there is none; the message names near matches.
    """
    found = _PROFILES.get(name)
    if found is not None:
        return found
    near = get_close_matches(name, names(), n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ConfigError("", "kernel.profile", f"unknown kernel profile {name!r}{hint}", names())


register(LINUX_2_2)
register(LINUX_2_4_0)
register(LINUX_2_4_22)
register(LINUX_2_4_37)
