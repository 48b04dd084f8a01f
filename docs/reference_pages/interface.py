"""The page of the Python interface: every public name, from its docstring."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from inspect import isclass, isroutine

import numa_sim

SECTIONS = (
    ("Machines and runs", ("Machine", "Run", "RunResult", "open_run", "write_run", "verify_run", "print_summary")),
    ("Configurations", ("Config", "load", "NumaSimError")),
    ("Machine descriptions", ("Topology", "preset", "preset_names")),
    (
        "Access patterns and traces",
        ("sequential", "strided", "uniform", "zipf", "pointer_chase", "mix", "phases", "from_arrays", "from_generator",
         "trace_program"),
    ),
)  # fmt: skip
"""Where names belong; those of ``numa_sim.__all__`` that are not named here go to the end."""

MODULES = (
    ("What a program can ask for", "numa_sim.workloads.program", ("TaskHandle",)),
    ("Replacement policies", "numa_sim.policies", None),
    ("Checks for policies of your own", "numa_sim.testing", ("check_policy",)),
)
_MEMBERS = {
    "Machine": "of, add, run_to_end, run_until, procfs, now_ns, check",
    "Config": "of, resolved, sha256, origin",
    "TaskHandle": "",
}
"""Members worth showing, where others are numa_sim's own business; "" is all, inherited ones too."""
_CONSTANTS = ("KiB", "MiB", "GiB", "TiB")
_HEAD = """# Python interface

Everything here is imported on first use: `from numa_sim import Machine, Run, MiB, zipf`.  `KiB`, `MiB`, `GiB` and
`TiB` are bytes; times are ns, always integers.  A user's mistake raises a subclass of `NumaSimError`, whose text
names the file, the place in it and what is allowed.
"""


def api_page() -> str:
    """MyST page: every name of ``numa_sim.__all__``, and of the modules that users extend."""
    parts = [_HEAD]
    placed = {name for _, names in SECTIONS for name in names}
    rest = [name for name in numa_sim.__all__ if name not in placed and name not in _CONSTANTS and name[0] != "_"]
    for title, names in (*SECTIONS, *((("More", rest),) if rest else ())):
        parts.append(_section(title, "numa_sim", names))
    for title, module, names in MODULES:
        parts.append(_section(title, module, names or import_module(module).__all__))
    return "\n".join(parts)


def _section(title: str, module: str, names: Iterable[str]) -> str:
    entries = "\n".join(_entry(module, name) for name in names)
    return f"## {title}\n\n```{{eval-rst}}\n{entries}```\n"


def _entry(module: str, name: str) -> str:
    """Directive of autodoc for one name.

    Raises
    ------
    ValueError
        It has no docstring.
    """
    value = getattr(import_module(module), name)
    if isclass(value):
        kind = "autoexception" if issubclass(value, BaseException) else "autoclass"
    else:
        kind = "autofunction" if isroutine(value) else "autodata"
    if kind != "autodata" and not value.__doc__:
        raise ValueError(f"{module}.{name} has no docstring")
    members = "   :members:" if kind == "autoclass" else ""
    if members and name in _MEMBERS:
        members += f" {_MEMBERS[name]}" if _MEMBERS[name] else "\n   :inherited-members:"
    return f".. {kind}:: {module}.{name}\n{members}\n"
