"""Operations on the network in a program: receive."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from numa_sim.config.quantities import Section, Time
from numa_sim.state.constants import MAX_PACKETS


class Receive(Section):
    """Sleep while packets come in; each needs a page at once (GFP_ATOMIC), and is lost if none is free."""

    op: Literal["receive"]
    packets: int = Field(ge=1, le=MAX_PACKETS, description="how many come")
    interval: Time = Field(10_000, description="time from one to the next; 10us")
    hold: Time = Field(1_000_000, description="time until a packet is used up and its page is free again; 1ms")
