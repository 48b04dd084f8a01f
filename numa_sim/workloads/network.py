"""What programs do with the network: receive packets."""

from __future__ import annotations

from dataclasses import dataclass

from numa_sim.errors import ConfigError
from numa_sim.state.constants import MAX_PACKETS
from numa_sim.units import check_ns, parse_ns


@dataclass(frozen=True, slots=True)
class Receive:
    """Sleep while packets come in, one each `interval_ns`, each in a page for `hold_ns`; answered with those lost."""

    packets: int
    interval_ns: int
    hold_ns: int


class NetworkCalls:
    """The part of a task's handle that is about the network."""

    name: str

    def receive(self, packets: int, interval: int | str = "10us", hold: int | str = "1ms") -> Receive:
        """Receive packets; ``yield`` gives how many were lost because no page was free.

        Parameters
        ----------
        packets : int
            How many come, 1 to 10**9.
        interval : int or str
            Time from one to the next, ns or text with a unit.
        hold : int or str
            Time until a packet has been used up and its page is free again.
        """
        if type(packets) is not int or not 1 <= packets <= MAX_PACKETS:
            raise ConfigError("", f"{self.name}: receive.packets", f"got {packets!r}", (f"1 to {MAX_PACKETS}",))
        return Receive(packets, self._duration(interval, "interval"), self._duration(hold, "hold"))

    def _duration(self, value: int | str, what: str) -> int:
        try:
            return parse_ns(value) if isinstance(value, str) else check_ns(value, what)
        except ConfigError as problem:
            raise ConfigError("", f"{self.name}: receive.{what}", problem.message, problem.allowed) from None
