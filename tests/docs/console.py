"""Runs the examples of the documentation, and writes what they really print into it.

``python tests/docs/console.py README.md docs/tutorial/*.md`` checks pages, ``--write`` puts the true outputs in.

A page's blocks run in their order, in a folder of their own where ``configs/`` is the project's:

* ``console``: lines after ``$ `` are commands, what follows is what they print, stdout and stderr together.  ``...``
  stands for anything: alone on a line for any number of lines.  A command must succeed, unless ``$ echo $?`` follows.
* ``python``: run in one namespace per page; with ``>>>`` it is a doctest.
* ``toml``: a whole configuration, which must be valid.

An HTML comment right above a block, which readers do not see, says more:

* ``<!-- file: NAME -->``: the block is also written to that file.
* ``<!-- machine: NAME -->``: the same; it is a description of a machine, not a configuration.
* ``<!-- fragment -->``: keys that are laid over a small configuration (`BASE`), which must be valid then.
* ``<!-- output -->``: what the last ``python`` block printed.
* ``<!-- not run: REASON -->``.

A picture of ``images/examples/`` that a page shows is made by the page's own examples, under the same file name.
"""

from __future__ import annotations

import argparse
import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BASE: dict[str, Any] = {
    "machine": {
        "nodes": [{"memory": "32MiB", "cpus": "0-1"}, {"memory": "32MiB", "cpus": "2-3"}],
        "distances": [[10, 21], [21, 10]],
        "disk": [{"device": "hdd", "name": "sda", "size": "64MiB"}],
        "swap": [{"device": "nvme", "size": "64MiB"}],
        "file": [{"name": "data", "size": "8MiB", "disk": "sda"}],
    },
    "workload": [{"name": "hog", "program": [{"op": "mmap", "as": "heap", "size": "8MiB"}]}],
}
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*?) -->\n+)?^(?P<fence>```+)(?P<language>[\w{}-]*)\n(?P<text>.*?)^(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)
_PICTURE = re.compile(r"!\[[^\]]*\]\(([^)\s]*images/examples/([^)\s/]+))\)")
_SECONDS = 120


class ExampleError(AssertionError):
    """An example that is not true: page, line, and what is wrong."""


@dataclass
class Block:
    """A fenced block of a page: where its text begins, and what the comment above it says."""

    language: str
    text: str
    start: int
    line: int
    mark: str

    @property
    def file(self) -> str:
        """Name of the file to write the text to, or nothing."""
        kind, _, name = self.mark.partition(": ")
        return name if kind in ("file", "machine") else ""

    @property
    def runs(self) -> bool:
        """Whether the block does anything."""
        return not self.mark.startswith("not run") and (
            self.language in ("console", "python", "toml") or bool(self.file) or self.mark == "output"
        )


@dataclass
class Command:
    """A command of a console block, what the page says it prints, and where that stands in the block."""

    text: str
    shown: str
    start: int
    end: int


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page's text."""
    return [
        Block(m["language"], m["text"], m.start("text"), page.count("\n", 0, m.start("text")) + 1, m["mark"] or "")
        for m in _BLOCK.finditer(page)
    ]


def commands(text: str) -> Iterator[Command]:
    """The commands of a console block."""
    starts = [m.start() for m in re.finditer(r"^\$ ", text, re.MULTILINE)]
    if not text.startswith("$ "):
        raise ExampleError("a console block begins with a command: $ ...")
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        part = re.match(r"\$ (?:[^\n]*\\\n)*[^\n]*\n?", text[start:end])
        assert part
        shown = start + part.end()
        yield Command(part[0][2:].replace("\\\n", " ").strip(), text[shown:end], shown, end)


def agrees(shown: str, printed: str) -> bool:
    """Whether what a page shows is what was printed; ``...`` is anything."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else r".*?".join(map(re.escape, line.rstrip().split("..."))) + "\n"
        for line in shown.rstrip().splitlines()
    )
    return re.fullmatch(pattern, _stripped(printed)) is not None


def _stripped(text: str) -> str:
    lines = [line.rstrip() for line in text.rstrip().splitlines()]
    return "".join(f"{line}\n" for line in lines)


@dataclass
class Session:
    """Runs the blocks of one page in a folder."""

    folder: Path
    status: int = 0
    printed: str = ""
    names: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})

    def __post_init__(self) -> None:
        (self.folder / "configs").symlink_to(ROOT / "configs")

    def run(self, block: Block) -> str:
        """Do what the block says; returns its text with the true outputs.

        Raises
        ------
        ExampleError
            It cannot be done, or does not print what the block shows (console blocks: only what cannot be mended).
        """
        if block.file:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        if block.mark == "output":
            return block.text if agrees(block.text, self.printed) else _stripped(self.printed)
        if block.language == "console":
            return self._console(block.text)
        if block.language == "python":
            self._python(block.text)
        elif block.language == "toml":
            self._toml(block)
        return block.text

    def _console(self, text: str) -> str:
        mended, last = [], 0
        found = list(commands(text))
        for command, following in zip(found, [*found[1:], None], strict=True):
            printed = _stripped(self.command(command.text))
            if self.status and (following is None or following.text != "echo $?"):
                raise ExampleError(f"$ {command.text}\nfailed ({self.status}):\n{printed}")
            mended += [text[last : command.start], command.shown if agrees(command.shown, printed) else printed]
            last = command.end
        return "".join(mended)

    def command(self, line: str) -> str:
        """What a command prints; `status` is how it ended."""
        if line == "echo $?":
            status, self.status = self.status, 0
            return f"{status}\n"
        if not line.startswith("numa-sim "):
            return self._shell(line, "")
        own, rest = re.fullmatch(r"([^|>]*)(.*)", line, re.DOTALL).groups()  # type: ignore[union-attr]
        printed = self._numa_sim(shlex.split(own)[1:])
        return self._shell(f"cat {rest}", printed) if rest and not self.status else printed

    def _numa_sim(self, arguments: list[str]) -> str:
        """Run the command line in this process: starting Python takes longer than most examples."""
        from numa_sim.cli.app import main

        screen = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
            try:
                main(arguments)
            except SystemExit as ended:
                self.status = int(ended.code or 0)
        return re.sub(r"^Compiling the kernel rules.*\n", "", screen.getvalue(), flags=re.MULTILINE)

    def _shell(self, line: str, given: str) -> str:
        ended = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, input=given, text=True, timeout=_SECONDS, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.status = ended.returncode
        return ended.stdout

    def _python(self, text: str) -> None:
        with contextlib.chdir(self.folder):
            if ">>> " not in text:
                with contextlib.redirect_stdout(io.StringIO()) as screen:
                    exec(compile(text, "<example>", "exec"), self.names)
                self.printed = screen.getvalue()
                return
            test = doctest.DocTestParser().get_doctest(text, self.names, "example", None, 0)
            report = io.StringIO()
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False)
            runner.run(test, out=report.write, clear_globs=False)
            self.names.update(test.globs)
            if report.getvalue():
                raise ExampleError(report.getvalue())

    def _toml(self, block: Block) -> None:
        from numa_sim.config import Config
        from numa_sim.config.reader import build

        if block.mark.startswith("machine: "):
            from numa_sim.topology import Topology, load

            assert isinstance(load(f"toml:{block.file}", self.folder), Topology)
            return
        table = tomllib.loads(block.text)
        whole = laid_over(BASE, table) if block.mark.startswith("fragment") else table
        assert isinstance(build(whole, "<example>", self.folder), Config)


def laid_over(base: Any, over: Any) -> Any:
    """`over` laid over `base`: tables key by key, anything else replaced."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    if over.keys() & {"preset", "from", "nodes"}:  # another machine
        base = {key: value for key, value in base.items() if key not in ("nodes", "distances")}
    return {**base, **{key: laid_over(base.get(key), value) for key, value in over.items()}}


def run_page(page: Path, folder: Path) -> str:
    """Run every example of `page` in `folder`; the page's text with the true outputs.

    Raises
    ------
    ExampleError
        An example cannot be run.
    """
    text = page.read_text()
    session, mended, last = Session(folder), [], 0
    for block in blocks(text):
        if not block.runs:
            continue
        try:
            true = session.run(block)
        except Exception as problem:
            raise ExampleError(f"{page.relative_to(ROOT)}:{block.line}: {problem}") from problem
        mended += [text[last : block.start], true]
        last = block.start + len(block.text)
    for _, name in _PICTURE.findall(text):
        if not (folder / name).is_file():
            raise ExampleError(f"{page.relative_to(ROOT)}: no example makes the picture {name}")
    return "".join((*mended, text[last:]))


def keep_pictures(page: Path, folder: Path) -> None:
    """Put the pictures that the examples of `page` made where the page shows them."""
    for place, name in _PICTURE.findall(page.read_text()):
        target = page.parent / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, target)


def main() -> int:
    """Check the pages given, or write the true outputs into them; 1 if one is not true."""
    parser = argparse.ArgumentParser(description="Run the examples of pages of documentation.")
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--write", action="store_true", help="put what is really printed into the pages")
    options = parser.parse_args()
    different = 0
    for page in map(Path.resolve, options.pages):
        with tempfile.TemporaryDirectory() as folder:
            true = run_page(page, Path(folder))
            if options.write:
                keep_pictures(page, Path(folder))
        if true != page.read_text():
            different += not options.write
            print(page.relative_to(ROOT), "written" if options.write else "does not show what is printed")
            if options.write:
                page.write_text(true)
    return 1 if different else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
