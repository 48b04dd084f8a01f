"""Operations on signals in a program: kill, prctl; ``signal`` has a program of its own (see `workload`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from numa_sim.config.quantities import Section

Signal = Literal[
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1",
    "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD",
]  # fmt: skip
CatchableSignal = Literal[
    "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGUSR1",
    "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM", "SIGSTKFLT", "SIGCHLD",
]  # fmt: skip


class Kill(Section):
    """Send a signal to a task; the run goes on, with a warning, if it has ended."""

    op: Literal["kill"]
    task: Annotated[str, Field(min_length=1, max_length=200)] = Field(description="task, as reports name it")
    signal: Signal = Field("SIGTERM", description="signal to send")


class Prctl(Section):
    """Allow or forbid a core file of the task's address space."""

    op: Literal["prctl"]
    dumpable: bool = Field(description="PR_SET_DUMPABLE")
