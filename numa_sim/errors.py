"""Errors a user of numa_sim can cause or must be told about.

Every class keeps ``args`` equal to its constructor arguments, so an error can be pickled, sent between worker
processes and rebuilt as ``type(e)(*e.args)`` (SimPy re-raises the failure of a process that way).  ``str(e)`` is one
line meant to be shown to a person as it stands.
"""

from collections.abc import Iterable
from errno import errorcode

__all__ = [
    "BudgetError",
    "ConfigError",
    "FontWarning",
    "InvariantViolation",
    "NumaSimError",
    "PolicyError",
    "RunFolderError",
    "SimulationError",
    "StatisticsError",
    "SwapError",
    "TopologyError",
    "TraceFormatError",
]


def _one_line(*parts: object) -> str:
    """Join the non-empty parts with ``": "`` and fold line breaks and runs of blanks into single blanks."""
    texts = (" ".join(str(part).split()) for part in parts)
    return ": ".join(text for text in texts if text)


class NumaSimError(Exception):
    """Root of all errors numa_sim raises on purpose."""

    def __str__(self) -> str:
        return _one_line(*self.args)


class BudgetError(NumaSimError):
    """A run took more than its budget (``run.budget``) and was given up.

    Parameters
    ----------
    budget : str
        What was used up.
    t_ns : int
        Simulated time by then, ns.
    last : tuple of str
        What happened last, in its order, one line each.
    """

    def __init__(self, budget: str, t_ns: int, last: Iterable[str] = ()) -> None:
        super().__init__(budget, t_ns, last if isinstance(last, tuple) else tuple(last))
        self.budget = budget
        self.t_ns = t_ns
        self.last: tuple[str, ...] = self.args[2]

    def __str__(self) -> str:
        text = _one_line("the budget is used up", f"{self.budget}, at t={self.t_ns} ns")
        return _one_line(text, f"last {self.last[-1]}") if self.last else text


class ConfigError(NumaSimError):
    """A configuration is wrong.

    Parameters
    ----------
    file : str
        File (or other origin, such as ``"--set"``) that holds the value; may be empty.
    path : str
        Dotted path of the value inside it, for example ``"machine.nodes[1].memory"``; may be empty.
    message : str
        What is wrong.
    allowed : iterable of str, optional
        Values that would have been accepted.
    """

    def __init__(self, file: object, path: str, message: str, allowed: Iterable[object] = ()) -> None:
        super().__init__(file, path, message, allowed if isinstance(allowed, tuple) else tuple(allowed))
        self.file = str(file)
        self.path = path
        self.message = message
        self.allowed = tuple(str(value) for value in self.args[3])

    def __str__(self) -> str:
        text = _one_line(self.file, self.path, self.message)
        return f"{text} (allowed: {', '.join(self.allowed)})" if self.allowed else text


class TopologyError(NumaSimError):
    """A machine description is wrong or cannot be read.

    Parameters
    ----------
    source : str
        File, directory or preset it came from.
    where : str
        Line, element or field in it, for example ``"line 12"``; may be empty.
    message : str
        What is wrong.
    """

    def __init__(self, source: object, where: str, message: str) -> None:
        super().__init__(source, where, message)
        self.source = str(source)
        self.where = where
        self.message = message


class TraceFormatError(NumaSimError):
    """A workload trace cannot be read.

    Parameters
    ----------
    file : str
        Trace file.
    where : str
        ``"line 12"`` for text, ``"byte 4096"`` for binary traces.
    message : str
        What is wrong.
    """

    def __init__(self, file: object, where: str, message: str) -> None:
        super().__init__(file, where, message)
        self.file = str(file)
        self.where = where
        self.message = message


class FontWarning(UserWarning):
    """No font on this machine has some characters of a picture, which are drawn as boxes.

    Parameters
    ----------
    characters : str
        Each once.
    """

    def __init__(self, characters: str) -> None:
        super().__init__(characters)
        self.characters = characters

    def __str__(self) -> str:
        return (
            f"no font for pictures has {' '.join(self.characters)}: drawn as boxes "
            "(matplotlib finds them in a font like Noto Sans CJK, if it is installed)"
        )


class InvariantViolation(NumaSimError):  # noqa: N818  (reads as what it reports)
    """The simulated kernel broke one of its own rules: a defect of numa_sim, not of its input.

    Parameters
    ----------
    what : str
        The rule that was broken.
    t_ns : int
        Simulated time at which it was noticed, ns.
    details : str
        Values that show it; may be empty.
    """

    def __init__(self, what: str, t_ns: int, details: object = "") -> None:
        super().__init__(what, t_ns, details)
        self.what = what
        self.t_ns = t_ns
        self.details = details

    def __str__(self) -> str:
        return _one_line("invariant violated", f"{self.what} at t={self.t_ns} ns", self.details)


class PolicyError(NumaSimError):
    """A replacement policy breaks its contract, or cannot be known by its name.

    Parameters
    ----------
    policy : str
        Its name.
    message : str
        What it did.
    """

    def __init__(self, policy: str, message: str) -> None:
        super().__init__(policy, message)
        self.policy = policy
        self.message = message

    def __str__(self) -> str:
        return _one_line(f"policy {self.policy!r}", self.message)


class RunFolderError(NumaSimError):
    """A run folder cannot be created, read or trusted.

    Parameters
    ----------
    folder : str
        The run folder.
    message : str
        What is wrong.
    """

    def __init__(self, folder: object, message: str) -> None:
        super().__init__(folder, message)
        self.folder = str(folder)
        self.message = message


class SimulationError(NumaSimError):
    """A simulation cannot go on although its configuration was accepted.

    Parameters
    ----------
    message : str
        What happened.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class StatisticsError(NumaSimError):
    """Numbers do not allow what was asked of them: none at all, NaN, the wrong shape, no steady state.

    Parameters
    ----------
    what : str
        Name of the argument or column.
    message : str
        What is wrong with it.
    """

    def __init__(self, what: str, message: str) -> None:
        super().__init__(what, message)
        self.what = what
        self.message = message


class SwapError(NumaSimError):
    """swapon or swapoff refuses, or a swap header is wrong.

    Parameters
    ----------
    code : int
        The kernel's error, as in `errno`.
    message : str
        What is wrong.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return _one_line(f"{self.message} ({errorcode[self.code]})")
