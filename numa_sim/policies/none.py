"""No replacement at all."""

from __future__ import annotations

from numa_sim.policies.policy import Policy


class NoReplacement(Policy):
    """Pages stay until their program gives them back: once memory is full, programs die (the null policy)."""

    name = "none"
    in_background = False
    may_refuse = True

    def insert(self, page: int, write: bool) -> None:
        """Nothing to remember."""

    def remove(self, page: int) -> None:
        """Nothing to forget."""

    def victim(self) -> None:
        """Refuse."""
