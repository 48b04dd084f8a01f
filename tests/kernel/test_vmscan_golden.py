"""Replays of the recorded reclaim lists and swap_out of 2.4.37, through the machine that can stop and go on."""

from collections.abc import Callable

import pytest
from golden_traces import Command, replay
from kernel.reclaim_replay import Replay


@pytest.mark.row("S3-076", "S3-122", "S3-123")
@pytest.mark.parametrize("subject", ["reclaim-lists", "swap-out"])
def test_every_recorded_command_gives_the_recorded_result_log_and_state(subject: str) -> None:
    def start(init: Command) -> Callable[[Command], None]:
        return Replay(init).step

    assert replay(subject, start) > 1000
