"""What programs do with tasks: fork, vfork, clone, exec, wait, exit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from numa_sim.errors import ConfigError
from numa_sim.state.answers import CLONE_VFORK, CLONE_VM
from numa_sim.workloads.files import OpenFile
from numa_sim.workloads.patterns.source import require

MAX_ARG_BYTES = 32 * 4096
"""MAX_ARG_PAGES of include/linux/binfmts.h: what arguments and environment may take."""
MAX_STATUS = 255


@dataclass(frozen=True, slots=True)
class Fork:
    """fork(2), vfork(2) or clone(2), by its `flags` (CLONE_VM, CLONE_VFORK); answered with the child's pid."""

    program: Callable[[Any], Any]
    name: str
    flags: int = 0
    cpus: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """What exec(2) maps: `text_bytes` and `data_bytes` of `file` one after the other, `bss_bytes` of zeros behind."""

    file: OpenFile
    text_bytes: int
    data_bytes: int
    bss_bytes: int


@dataclass(frozen=True, slots=True)
class Exec:
    """exec(2): a new address space and another program; on success the old program ends where it is."""

    program: Callable[[Any], Any]
    image: Image | None = None
    argument_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """wait4(2) for the child `pid`, or any child; answered with an `Ended`."""

    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Exit:
    """exit(2) with `status`; reaching the end of the program is exit(0).  `why` is a warning of the run (perror)."""

    status: int = 0
    why: str = ""


class Ended(NamedTuple):
    """A child that has ended.

    Attributes
    ----------
    pid : int
        Which.
    status : int
        What it gave to exit, 0 to 255; 0 if a signal killed it.
    signal : int
        Number of the signal that killed it, 0 if none did.
    """

    pid: int
    status: int
    signal: int


class ChildCalls(ABC):
    """The part of a task's handle that is about other tasks."""

    name: str

    def fork(self, program: Callable[[Any], Any], name: str = "child", cpus: Iterable[int] | None = None) -> Fork:
        """Make a child that runs `program` in a copy of this address space; ``yield`` gives its pid.

        The child is called like this task, a slash, `name` and a number.  It has the regions and open files of its
        parent, under the numbers and addresses they have there.  The program gets an `OSError`: EAGAIN (no task is
        left, see ``kernel.max_tasks``) or ENOMEM.

        Parameters
        ----------
        program : callable
            As for `Machine.add`: called with the child's handle, returns a generator of operations.
        name : str
            Without a slash.
        cpus : iterable of int, optional
            CPUs the child may run on; its parent's by default.
        """
        return self._fork("fork", program, name, cpus, 0)

    def vfork(self, program: Callable[[Any], Any], name: str = "child", cpus: Iterable[int] | None = None) -> Fork:
        """Make a child in this very address space, and sleep until it execs or exits; else as `fork`."""
        return self._fork("vfork", program, name, cpus, CLONE_VM | CLONE_VFORK)

    def clone(self, program: Callable[[Any], Any], name: str = "thread", cpus: Iterable[int] | None = None) -> Fork:
        """Make a thread: a child in this very address space (CLONE_VM); else as `fork`.

        Files opened later are not shared.
        """
        return self._fork("clone", program, name, cpus, CLONE_VM)

    def _fork(self, what: str, program: Any, name: object, cpus: Any, flags: int) -> Fork:
        chosen = None if cpus is None else tuple(sorted(set(cpus)))
        if chosen is not None and not (chosen and all(type(cpu) is int and cpu >= 0 for cpu in chosen)):
            raise ConfigError("", f"{self.name}: {what}.cpus", f"got {cpus!r}", ("numbers of CPUs",))
        return Fork(self._program(what, program), self._child_name(what, name), flags, chosen)

    def exec(
        self,
        program: Callable[[Any], Any],
        file: OpenFile | None = None,
        text: int | str = 0,
        data: int | str = 0,
        bss: int | str = 0,
        arguments: int | str = 0,
    ) -> Exec:
        """Run `program` in a new address space instead of this one.  Open files stay open.

        Parameters
        ----------
        program : callable
            Called with this handle once more.
        file : OpenFile, optional
            What is executed: its first `text` bytes are mapped for reading and executing, the `data` bytes behind
            them privately for writing, and `bss` bytes of zeros follow.  `regions` of the handle has them then.
        arguments : int or str
            Bytes of arguments and environment, at most 32 pages (else `OSError` E2BIG): they are copied to the stack.
        """
        sizes = [self._size(value, f"exec.{what}") for what, value in (("text", text), ("data", data), ("bss", bss))]
        image = None
        if file is not None:
            if not isinstance(file, OpenFile):
                raise ConfigError("", f"{self.name}: exec.file", f"got {file!r}", ("what yield task.open() gave",))
            require(sizes[0] > 0, f"{self.name}: exec.text", f"{text}", "above 0: the program's code")
            image = Image(file, *sizes)
        elif any(sizes):
            raise ConfigError("", f"{self.name}: exec", "text, data and bss go with a file", ("file=...",))
        return Exec(self._program("exec", program), image, self._size(arguments, "exec.arguments"))

    def wait(self, pid: int | None = None) -> Wait:
        """Sleep until child `pid`, or any child, has ended; ``yield`` gives an `Ended`.

        The program gets an `OSError` (ECHILD) if there is no such child.
        """
        if pid is not None and type(pid) is not int:
            raise ConfigError("", f"{self.name}: wait.pid", f"got {pid!r}", ("a pid", "None"))
        return Wait(pid)

    def exit(self, status: int = 0) -> Exit:
        """End the task here, with `status` (0 to 255) for its parent."""
        if type(status) is not int or not 0 <= status <= MAX_STATUS:
            raise ConfigError("", f"{self.name}: exit.status", f"got {status!r}", (f"0 to {MAX_STATUS}",))
        return Exit(status)

    def _program(self, what: str, program: Any) -> Any:
        if not callable(program):
            allowed = ("a function that takes the task's handle",)
            raise ConfigError("", f"{self.name}: {what}.program", f"got {program!r}", allowed)
        return program

    def _child_name(self, what: str, name: object) -> str:
        if not isinstance(name, str) or not name or "/" in name:
            raise ConfigError("", f"{self.name}: {what}.name", f"got {name!r}", ("text without a slash",))
        return name

    # What the rest of the handle gives
    @abstractmethod
    def _size(self, value: int | str, path: str) -> int:
        """A size given in a program, in bytes."""
