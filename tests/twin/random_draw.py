"""What random machines are drawn with: plain draws, and a pattern of accesses."""

from __future__ import annotations

from typing import Any

import numpy as np


class Draw:
    """Plain draws from a numpy generator."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def number(self, low: int, high: int) -> int:
        """From `low` to `high`, both possible."""
        return int(self.rng.integers(low, high + 1))

    def spread(self, low: int, high: int) -> int:
        """From `low` to `high`, every order of magnitude alike."""
        return int(np.exp(self.rng.uniform(np.log(low), np.log(high))))

    def one(self, *choices: Any) -> Any:
        return choices[self.number(0, len(choices) - 1)]

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)


def random_pattern(d: Draw, nested: bool = True) -> dict[str, Any]:
    kind = d.number(0, 6 if nested else 4)
    if kind == 0:
        return {"kind": "sequential"}
    if kind == 1:
        return {"kind": "strided", "stride": d.number(1, 17)}
    if kind == 2:
        return {"kind": "uniform"}
    if kind == 3:
        return {"kind": "zipf", "s": float(d.one(0.6, 0.99, 1.3))}
    if kind == 4:
        return {"kind": "pointer_chase"}
    if kind == 5:
        return {"kind": "mix", "parts": [{"weight": 1.0 + i, "pattern": random_pattern(d, False)} for i in range(2)]}
    return {
        "kind": "phases",
        "phases": [{"pattern": random_pattern(d, False), "accesses": d.number(50, 500)} for _ in range(2)],
    }
