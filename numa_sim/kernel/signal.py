"""Signals: who has which pending, and what becomes of them; kernel/signal.c @2.4 (spec 7.1).

A signal is sent at one time and delivered at another: on the receiver's way back to user mode.  Plain functions, called
rarely.  Simplified: signals are sent to single tasks, none stops or continues one, and a task has one uid, root or not.
"""

from __future__ import annotations

from enum import IntEnum
from errno import EINVAL, EPERM
from typing import Final

from numa_sim.compiled import entry
from numa_sim.state.constants import (
    SI_USER,
    SIGABRT,
    SIGBUS,
    SIGCHLD,
    SIGFPE,
    SIGILL,
    SIGKILL,
    SIGNALS,
    SIGQUIT,
    SIGSEGV,
    SIGTRAP,
    TASK_DEAD,
    TASK_ZOMBIE,
)
from numa_sim.state.event_codes import EV_DO_SIGNAL, EV_SEND_SIG
from numa_sim.state.events import log_event
from numa_sim.state.kernel import Kernel

CORE_SIGNALS: Final = frozenset((SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV))
"""Those whose default action writes a core file."""

_log_event = entry(log_event)


class Disposition(IntEnum):
    """What a task wants done with a signal (sa_handler)."""

    DEFAULT = 0
    IGNORE = 1
    CATCH = 2


class Action(IntEnum):
    """What `do_signal` asks for."""

    NOTHING = 0
    TERMINATE = 1
    CORE = 2
    HANDLE = 3


def sigaction(k: Kernel, t: int, signal: int, disposition: Disposition) -> int:
    """do_sigaction @2.4: 0, or EINVAL for SIGKILL and signals there are not.

    An ignored signal that is pending is dropped.
    """
    if not 0 < signal < len(SIGNALS) or signal == SIGKILL:
        return EINVAL
    task, bit = k.tasks[t], 1 << signal
    task.sig_ignored = int(task.sig_ignored) & ~bit | (bit if disposition == Disposition.IGNORE else 0)
    task.sig_caught = int(task.sig_caught) & ~bit | (bit if disposition == Disposition.CATCH else 0)
    if disposition == Disposition.IGNORE:
        task.pending = int(task.pending) & ~bit
    return 0


def may_signal(k: Kernel, t: int, target: int) -> int:
    """bad_signal @2.4: 0 if task `t` may send to `target`; EPERM: only root may send to root's tasks."""
    return EPERM if k.tasks[target].root and not k.tasks[t].root else 0


def send_sig(k: Kernel, t: int, signal: int, code: int = SI_USER, address: int = 0) -> bool:
    """send_sig_info @2.4: make `signal` pending for task `t`; whether it has to be woken to see it.

    Not if the task ignores or blocks it, has it pending already, or is dead.
    """
    task, bit = k.tasks[t], 1 << signal
    if task.state in (TASK_DEAD, TASK_ZOMBIE) or _is_ignored(k, t, signal) or int(task.pending) & bit:
        return False
    task.pending = int(task.pending) | bit
    task.si_code, task.si_addr = code, address
    if signal == SIGKILL:
        task.killed = 1
    _log_event(k, EV_SEND_SIG, t, signal)
    return signal == SIGKILL or not int(task.blocked) & bit


def force_sig(k: Kernel, t: int, signal: int, code: int, address: int) -> None:
    """force_sig_info @2.4: a signal for what the task itself did, which it can neither ignore nor block.

    A handler that is running cannot have its own signal again: the default action follows (as from 2.6 on; 2.4 would
    go on with the handler until the stack is full).
    """
    task, bit = k.tasks[t], 1 << signal
    task.sig_ignored = int(task.sig_ignored) & ~bit
    if int(task.blocked) & bit:
        task.sig_caught = int(task.sig_caught) & ~bit
        task.blocked = int(task.blocked) & ~bit
    send_sig(k, t, signal, code, address)


def signal_pending(k: Kernel, t: int) -> bool:
    """Whether task `t` has a signal to take care of before it goes on in user mode."""
    return _deliverable(k, t) != 0


def do_signal(k: Kernel, t: int) -> tuple[int, Action]:
    """dequeue_signal and do_signal @2.4: take the first pending signal off, SIGKILL before all others.

    Returns
    -------
    (signal, action)
        A task that dies of it gets ``killed`` and ``exit_code``; 0 and NOTHING if none is pending.
    """
    ready = _deliverable(k, t)
    if not ready:
        return 0, Action.NOTHING
    signal = SIGKILL if ready >> SIGKILL & 1 else (ready & -ready).bit_length() - 1
    task, bit = k.tasks[t], 1 << signal
    task.pending = int(task.pending) & ~bit
    _log_event(k, EV_DO_SIGNAL, t, signal)
    if int(task.sig_caught) & bit:
        return signal, Action.HANDLE
    if _is_ignored(k, t, signal):
        return signal, Action.NOTHING
    task.killed = 1
    task.exit_code = signal
    return signal, Action.CORE if signal in CORE_SIGNALS else Action.TERMINATE


def block(k: Kernel, t: int, signal: int) -> None:
    """A handler of `signal` begins: the signal stays pending until it has ended (sa_mask without SA_NODEFER)."""
    k.tasks[t].blocked = int(k.tasks[t].blocked) | 1 << signal


def unblock(k: Kernel, t: int, signal: int) -> None:
    """The handler has ended (sigreturn)."""
    k.tasks[t].blocked = int(k.tasks[t].blocked) & ~(1 << signal)


def _deliverable(k: Kernel, t: int) -> int:
    task = k.tasks[t]
    return int(task.pending) & ~int(task.blocked)


def _is_ignored(k: Kernel, t: int, signal: int) -> bool:
    """ignored_signal: on request, or by default (SIGCHLD)."""
    task, bit = k.tasks[t], 1 << signal
    return bool(int(task.sig_ignored) & bit) or (signal == SIGCHLD and not int(task.sig_caught) & bit)
