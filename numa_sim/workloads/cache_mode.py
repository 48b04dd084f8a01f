"""What a program does that maps device memory: choose how the CPU's caches treat a region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from numa_sim.errors import ConfigError

if TYPE_CHECKING:
    from numa_sim.workloads.program import Region

MODES = ("write-back", "write-through", "uncached")


@dataclass(frozen=True, slots=True)
class CacheMode:
    """The PWT and PCD bits of a region's pages."""

    region: Region
    mode: str


class CacheCalls:
    """The part of a task's handle that is about caches."""

    name: str

    def cache_mode(self, region: Region, mode: Literal["write-back", "write-through", "uncached"]) -> CacheMode:
        """Treat `region`, mapped by itself, as memory of this kind.

        Write-through stores go to memory at once, uncached accesses all do; otherwise ``machine.cache_hit_ratio`` says
        how many lines come from the CPU's caches.  The program gets an `OSError`, EINVAL, if no whole area lies there.
        """
        if mode not in MODES:
            raise ConfigError("", f"{self.name}: cache_mode.mode", f"got {mode!r}", MODES)
        return CacheMode(region, mode)
