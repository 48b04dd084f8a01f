"""What programs ask of memory policies: set_mempolicy, mbind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from numa_sim.errors import ConfigError
from numa_sim.state.constants import MPOL_MODES

if TYPE_CHECKING:
    from numa_sim.workloads.program import Region


@dataclass(frozen=True, slots=True)
class MemPolicy:
    """From which nodes memory shall come.

    Parameters
    ----------
    mode : str
        A name of MPOL_MODES.
    nodes : tuple of int
        The set of nodes.
    weights : tuple of int
        Of weighted_interleave: pages dealt out at a time, node by node.
    """

    mode: str
    nodes: tuple[int, ...] = ()
    weights: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SetMempolicy:
    """set_mempolicy(2): the task's policy from now on."""

    policy: MemPolicy


@dataclass(frozen=True, slots=True)
class Mbind:
    """mbind(2) of pages ``region.start_vpn + offset_pages`` on."""

    region: Region
    offset_pages: int
    length_pages: int
    policy: MemPolicy


class PolicyCalls(ABC):
    """The part of a task's handle that is about memory policies; what the kernel refuses is an `OSError`."""

    name: str

    def set_mempolicy(self, mode: str, nodes: Sequence[int] = (), weights: Sequence[int] = ()) -> SetMempolicy:
        """Have the task's memory come from `nodes`; EINVAL (no such node, none with memory), ENOSYS (linux-2.2).

        Parameters
        ----------
        mode : str
            ``default``, ``local``, ``preferred``, ``preferred_many``, ``bind``, ``interleave``,
            ``weighted_interleave``.
        nodes : sequence of int
            None for the first two; one for ``preferred``.
        weights : sequence of int
            For ``weighted_interleave``, 1 to 255 each; 1 each by default.
        """
        return SetMempolicy(self._policy(mode, nodes, weights, "set_mempolicy"))

    def mbind(
        self,
        region: Region,
        mode: str,
        nodes: Sequence[int] = (),
        weights: Sequence[int] = (),
        offset: int | str = 0,
        length: int | str | None = None,
    ) -> Mbind:
        """Have pages of `region`, or a part of it, come from `nodes` from now on; EFAULT (a hole), else as above."""
        return Mbind(region, *self._part(region, offset, length, "mbind"), self._policy(mode, nodes, weights, "mbind"))

    def _policy(self, mode: str, nodes: Sequence[int], weights: Sequence[int], call: str) -> MemPolicy:
        if mode not in MPOL_MODES:
            raise ConfigError("", f"{self.name}: {call}.mode", f"no mode {mode!r}", tuple(MPOL_MODES))
        for what, numbers in (("nodes", nodes), ("weights", weights)):
            if not all(type(number) is int for number in numbers):
                raise ConfigError("", f"{self.name}: {call}.{what}", f"got {numbers!r}", ("whole numbers",))
        return MemPolicy(mode, tuple(nodes), tuple(weights))

    @abstractmethod
    def _part(self, region: Region, offset: int | str, length: int | str | None, what: str) -> tuple[int, int]:
        """First page and number of pages of a part of `region`."""
