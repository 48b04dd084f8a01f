"""The map of the source: what each module says it is for."""

from __future__ import annotations

import ast
from pathlib import Path

import numa_sim

_HEAD = """# Map of the source

Every module of `numa_sim/` with the first sentence of its docstring.  [Architecture](../../architecture.md) says how
they work together.
"""


def modules_page() -> str:
    """MyST page: a table of modules for each folder, the package's own first.

    Raises
    ------
    ValueError
        A module has no docstring.
    """
    root = Path(numa_sim.__file__).parent
    folders: dict[Path, list[str]] = {}
    for path in sorted(root.rglob("*.py")):
        if path.name != "__init__.py":
            row = f"| `{path.name}` | {first_sentence(path)} |"
            folders.setdefault(path.parent, []).append(row)
    parts = [_HEAD]
    for folder, rows in sorted(folders.items()):
        init = folder / "__init__.py"
        about = f"{first_sentence(init)}\n\n" if init.exists() and folder != root else ""
        title = "/".join((root.name, *folder.relative_to(root).parts))
        parts.append(f"## `{title}/`\n\n{about}| module | |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def first_sentence(path: Path) -> str:
    """First sentence of a module's docstring, on one line, safe in a table."""
    text = ast.get_docstring(ast.parse(path.read_text()))
    if not text:
        raise ValueError(f"{path} has no docstring")
    line = " ".join(text.split("\n\n")[0].split())
    return line.replace("``", "`").replace("|", "\\|")
