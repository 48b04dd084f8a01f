"""The null pattern: no accesses at all.  The shortest complete pattern, to copy for one's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numa_sim.workloads.patterns.source import AccessSource, Binding


class _Nothing(AccessSource):
    def _fill(self, accesses: Any) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class none:  # noqa: N801 - patterns read like the functions users call
    """Touch nothing, whatever the number of accesses asked for."""

    def bind(self, binding: Binding) -> AccessSource:
        """Return a source that is finished before it starts."""
        return _Nothing(0)
