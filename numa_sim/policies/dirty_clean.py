"""Strategy 4 of the notes: dirty and clean states (row S2-36)."""

from __future__ import annotations

from numa_sim.policies.staging import Staging


class DirtyClean(Staging):
    """Staging that knows which pages are dirty: one is written only when it leaves the queue, a clean one never."""

    name = "dirty-clean"
    writes = "dirty"
