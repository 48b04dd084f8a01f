"""An event that comes again and again, to the one process that waits for it.

A SimPy event happens once, and happens through the queue of events.  What a task waits for, its trap, its CPU, its
page, happens a million times, and often nothing else does at that instant: then the queue can be left out.
"""

from __future__ import annotations

from typing import Any

from simpy import Environment, Event


class Signal(Event):
    """What one process waits for; ``yield signal.armed()`` waits for it once more."""

    def __init__(self, env: Environment) -> None:
        super().__init__(env)
        self._ok = True
        self.callbacks = None  # type: ignore[assignment]

    def armed(self) -> Signal:
        """Itself, ready to come once more."""
        self.callbacks = []
        return self

    def come(self, value: Any = None) -> None:
        """Resume the waiting process here and now.

        Only as the last thing done at this instant: the process runs on before this returns, and time may pass.
        """
        self._value = value
        callbacks, self.callbacks = self.callbacks, None  # type: ignore[assignment]
        for callback in callbacks:
            callback(self)

    def come_in(self, delay_ns: int, value: Any = None) -> None:
        """Resume the waiting process `delay_ns` from now, after what is due by then already."""
        self._value = value
        self.env.schedule(self, delay=delay_ns)
