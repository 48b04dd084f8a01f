"""One pattern after another, round and round: a program that changes its behaviour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from numa_sim.workloads.patterns.source import ENDLESS, AccessSource, Binding, Pattern, require


class _Phases(AccessSource):
    def __init__(self, binding: Binding, parts: tuple[tuple[Pattern, int], ...]) -> None:
        super().__init__(sum(n for _, n in parts) if binding.accesses is None else binding.accesses)
        # Every phase goes on in its own stream where it stopped in the round before.
        rngs = binding.rng.spawn(len(parts))
        self._sources = [
            pattern.bind(replace(binding, accesses=ENDLESS, rng=rng))
            for (pattern, _), rng in zip(parts, rngs, strict=True)
        ]
        self._lengths = [n for _, n in parts]
        self._phase = 0
        self._left_in_phase = parts[0][1]

    def _fill(self, accesses: Any) -> int:
        done = 0
        barren = 0
        while done < len(accesses) and barren < len(self._sources):
            wanted = min(self._left_in_phase, len(accesses) - done)
            got = self._sources[self._phase].fill(accesses[done : done + wanted])
            barren = 0 if got else barren + 1
            done += got
            self._left_in_phase -= got
            if self._left_in_phase == 0 or got == 0:
                self._phase = (self._phase + 1) % len(self._sources)
                self._left_in_phase = self._lengths[self._phase]
        return done


@dataclass(frozen=True, slots=True)
class phases:  # noqa: N801 - patterns read like the functions users call
    """Follow each pattern for its number of accesses, then the next, and begin again after the last.

    Default length: one round.  A pattern that ends early (`none`, a user's list) ends its phase.

    Parameters
    ----------
    parts : iterable of (Pattern, int)
        Patterns with their lengths in accesses, at least 1 each.
    """

    parts: Iterable[tuple[Pattern, int]]

    def __post_init__(self) -> None:
        parts = tuple((pattern, int(n)) for pattern, n in self.parts)
        require(len(parts) > 0, "phases.parts", "an empty list", "one phase or more")
        for i, (_, n) in enumerate(parts):
            require(1 <= n <= ENDLESS, f"phases.parts[{i}]", f"{n} accesses", "1 or more")
        object.__setattr__(self, "parts", parts)

    def bind(self, binding: Binding) -> AccessSource:
        """Return the source of the phases over the pages of `binding`."""
        return _Phases(binding, tuple(self.parts))
