"""Replays of the recorded allocations, reclaim lists and swap_out of 2.4.0, through rules that can stop and go on."""

from collections.abc import Callable

import pytest
from golden_traces import Command, replay
from kernel.v2_4_0 import alloc_replay
from kernel.v2_4_0.reclaim_replay import Replay


@pytest.mark.parametrize("subject", ["reclaim-lists", "swap-out"])
def test_every_recorded_command_gives_the_recorded_result_log_and_state(subject: str) -> None:
    def start(init: Command) -> Callable[[Command], None]:
        return Replay(init).step

    assert replay(subject, start, "2.4.0") > 1000


def test_every_recorded_allocation_goes_the_recorded_way() -> None:
    assert replay("alloc-pages", lambda _init: alloc_replay.check, "2.4.0") > 1000
