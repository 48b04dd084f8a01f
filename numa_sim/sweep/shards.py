"""Parts of a sweep for machines that know nothing of each other."""

from __future__ import annotations

import re
from dataclasses import dataclass

from numa_sim.errors import ConfigError
from numa_sim.results.sweep_folder import PlannedRun
from numa_sim.sweep.design import Plan

__all__ = ["Shard"]


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, from 1; the same runs whoever asks, so no two shards ever share one.

    Shards need neither locks nor each other: each writes its own runs into the sweep's folder.
    """

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``"2/8"``; ConfigError otherwise."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text, re.ASCII)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError("--shard", "", f"{text!r} is no part of a sweep", ("i/n with i from 1 to n, like 2/8",))
        return cls(int(match[1]), int(match[2]))

    def of(self, plan: Plan) -> list[PlannedRun]:
        """Runs of this part, in order.

        Every `count`-th run; where replicas are added until a mean is precise, every `count`-th point, because what
        decides about a point are its own runs.
        """
        by_point = plan.sweep.replicas.metric is not None
        mine = self.index - 1
        return [run for number, run in enumerate(plan.runs) if (run.point if by_point else number) % self.count == mine]
