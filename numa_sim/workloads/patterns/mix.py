"""Several patterns at once: each access comes from one of them, drawn by weight."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from numa_sim.compiled import entry, rule
from numa_sim.workloads.patterns.source import (
    ENDLESS,
    AccessSource,
    Binding,
    Pattern,
    new_accesses,
    require,
)


@rule
def choose_parts(choice: Any, draws: Any, bounds: Any, wanted: Any) -> None:
    """Set ``choice[i]`` to the part whose share of [0, 1) holds ``draws[i]``; count each part in `wanted`."""
    last = len(bounds) - 1
    for i in range(len(draws)):
        part = 0
        while part < last and draws[i] >= bounds[part]:
            part += 1
        choice[i] = part
        wanted[part] += 1


@rule
def place_part(out: Any, choice: Any, part: int, given: Any) -> None:
    """Put the accesses `given` by `part` where it was chosen, in order."""
    j = 0
    for i in range(len(out)):
        if choice[i] == part:
            out[i].vpn = given[j].vpn
            out[i].compute_ns = given[j].compute_ns
            out[i].lines = given[j].lines
            out[i].write = given[j].write
            j += 1


_choose_parts = entry(choose_parts)
_place_part = entry(place_part)


class _Mix(AccessSource):
    def __init__(self, binding: Binding, parts: tuple[tuple[float, Pattern], ...]) -> None:
        super().__init__(binding.count)
        self._rng, *rngs = binding.rng.spawn(len(parts) + 1)
        self._sources = [
            pattern.bind(replace(binding, accesses=ENDLESS, rng=rng))
            for (_, pattern), rng in zip(parts, rngs, strict=True)
        ]
        weights = np.array([weight for weight, _ in parts], np.float64)
        self._bounds = np.cumsum(weights) / weights.sum()
        self._given = new_accesses(0)

    def _fill(self, accesses: Any) -> int:
        n = len(accesses)
        if len(self._given) < n:
            self._given = new_accesses(n)
        choice = np.empty(n, np.int64)
        wanted = np.zeros(len(self._sources), np.int64)
        _choose_parts(choice, self._rng.random(n), self._bounds, wanted)
        for part, count in enumerate(wanted.tolist()):
            got = _fill_whole(self._sources[part], self._given[:count])
            if got < count:
                # The mix ends where a part first has nothing to give.
                end = int(np.flatnonzero(choice == part)[got])
                accesses, choice = accesses[:end], choice[:end]
                self.left = end
            _place_part(accesses, choice, part, self._given)
        return len(accesses)


def _fill_whole(source: AccessSource, accesses: Any) -> int:
    done = 0
    while done < len(accesses):
        got = source.fill(accesses[done:])
        if got == 0:
            break
        done += got
    return done


@dataclass(frozen=True, slots=True)
class mix:  # noqa: N801 - patterns read like the functions users call
    """Take each access from one of several patterns, chosen independently with probability by weight.

    Default length: as many accesses as pages.  Each pattern keeps its own place and stream.  The mix ends when it
    chooses a pattern that has ended.

    Parameters
    ----------
    parts : iterable of (float, Pattern)
        Weights (0 or more, not all 0) and patterns.
    """

    parts: Iterable[tuple[float, Pattern]]

    def __post_init__(self) -> None:
        parts = tuple((float(weight), pattern) for weight, pattern in self.parts)
        require(len(parts) > 0, "mix.parts", "an empty list", "one part or more")
        for i, (weight, _) in enumerate(parts):
            require(0.0 <= weight < float("inf"), f"mix.parts[{i}].weight", f"{weight}", "0 or more")
        require(sum(w for w, _ in parts) > 0, "mix.parts", "a sum of weights of 0", "a sum above 0")
        object.__setattr__(self, "parts", parts)

    def bind(self, binding: Binding) -> AccessSource:
        """Return the source of the mixture over the pages of `binding`."""
        return _Mix(binding, tuple(self.parts))
