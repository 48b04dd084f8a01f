"""Rules are compiled once, called by name, and found again: renewed when anything they depend on changes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core.errors import NumbaError

from numa_sim import rule_cache, rule_calls
from numa_sim.compiled import COMPILED, entry, rule
from numa_sim.kernel import buddy
from numa_sim.rule_calls import DeclaredRule, declared_signature
from numa_sim.state.kernel import Kernel

compiled_only = pytest.mark.skipif(not COMPILED, reason="nothing is compiled")

CALLEE = """
from numa_sim.compiled import part, rule
from numa_sim.kernel import buddy
from numa_sim.state.kernel import Kernel

STEP = 1

@part
def doubled(x: int) -> int:
    return x * 2

@rule
def short(k: Kernel, x: int) -> int:
    return doubled(x) + STEP

@rule
def long(k: Kernel, x: int) -> int:
    "Too long to go into its callers."
    if x == -1:
        return x
""" + "".join(f"    if x == {n * 1000}:\n        x += {n}\n" for n in range(1, 60))
CALLEE += "    return x + 5\n"

CALLER = """
import sys
from numa_sim import rule_cache, rule_calls
from numa_sim.compiled import entry, rule
import callee
from callee import long, short
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

@rule
def caller(k: Kernel, x: int) -> int:
    return callee.long(k, x) * 100 + short(k, x)

if __name__ == "__main__":
    compiled = []
    keep = rule_cache.save
    rule_cache.save = lambda function, *rest: (compiled.append(function.__name__), keep(function, *rest))
    print(entry(caller)(new_kernel(Sizes(1, 1, 1024)), 3), *compiled, long.is_short, short.is_short)
"""


class Project:
    """Two files of rules, one calling the other's, and a cache folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        (folder / "callee.py").write_text(CALLEE)
        (folder / "caller.py").write_text(CALLER)

    def edit(self, old: str, new: str) -> None:
        """Change the called file."""
        file = self.folder / "callee.py"
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    def run(self, before: str = "") -> tuple[int, set[str]]:
        """Call the caller in a fresh process: its answer, and the rules that had to be compiled."""
        text = f"{before}\nimport runpy; runpy.run_path('caller.py', run_name='__main__')"
        answer, *compiled, long_is_short, short_is_short = run("-c", text, cache=self.cache, at=self.folder).split()
        assert (long_is_short, short_is_short) == ("False", "True")
        return int(answer), set(compiled)


def run(*command: str | Path, cache: Path, at: Path) -> str:
    """What a Python process prints."""
    env = os.environ | {"NUMA_SIM_CACHE": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *command], cwd=at, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@compiled_only
def test_only_what_an_edit_reaches_is_compiled_again(project: Project) -> None:
    assert project.run() == (807, {"caller", "long", "short", "doubled"})
    assert project.run() == (807, set()), "all found again"

    project.edit("return x + 5", "return x + 6  # edited")
    assert project.run() == (907, {"long"}), "a caller only names it"

    project.edit("x * 2", "x * 3")
    assert project.run() == (910, {"doubled", "short", "caller"}), "a part in a short rule in the caller"

    project.edit("STEP = 1", "STEP = 2")
    assert project.run() == (911, {"short", "caller"}), "a constant"

    project.edit("@rule\ndef long", "# a comment moves everything\n\n@rule\ndef long")
    assert project.run() == (911, set())


@compiled_only
def test_a_rule_whose_signature_changes_is_called_anew(project: Project) -> None:
    project.run()
    project.edit("def long(k: Kernel, x: int) -> int", "def long(k: Kernel, x: int) -> bool")
    assert project.run() == (107, {"long", "caller"})


@compiled_only
def test_machine_code_whose_callee_is_not_there_is_not_used(project: Project) -> None:
    """A symbol that cannot be resolved would end the process."""
    project.run()
    forget = "from numa_sim import rule_calls; rule_calls.load_called = lambda function: None"
    assert project.run(before=forget) == (807, {"caller"})


@compiled_only
def test_a_damaged_file_is_compiled_again(project: Project) -> None:
    project.run()
    for file in project.cache.rglob("callee.*"):
        file.write_bytes(file.read_bytes()[:100])
    assert project.run() == (807, {"long"}), "the caller has the short one in it"


@compiled_only
def test_a_cache_that_cannot_be_made_is_done_without(project: Project) -> None:
    project.cache.write_text("in the way")
    assert project.run() == (807, {"caller", "long", "short", "doubled"})
    assert project.cache.read_text() == "in the way"


@compiled_only
def test_files_nobody_used_for_a_month_go_when_something_new_comes(tmp_path: Path) -> None:
    old, used = tmp_path / "old.nbc", tmp_path / "used.nbc"
    for file, days in ((old, 31), (used, 29)):
        file.write_bytes(b"")
        os.utime(file, times=(file.stat().st_mtime - days * 24 * 3600,) * 2)
    rule_cache._drop_old(tmp_path)
    assert not old.exists()
    assert used.exists()


def test_compiling_is_announced_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(rule_cache, "_told", False)
    monkeypatch.setattr(rule_cache, "_teller", said.append)
    assert said == [], "nothing is compiled yet"
    rule_cache.about_to_compile()
    rule_cache.about_to_compile()
    assert len(said) == 1
    assert str(rule_cache.cache_folder()) in said[0]


@rule
def halved(x: int) -> int:
    return x // 2


@rule
def even(x: int) -> bool:
    return halved(x) * 2 == x


@rule
def both(x: int) -> tuple[int, int]:
    return halved(x), halved(x + 1)


@rule
def total(numbers: object) -> int:
    s = 0
    for n in numbers:  # type: ignore[attr-defined]
        s += halved(n)
    return s


def test_rules_answer_alike_compiled_or_not() -> None:
    assert entry(even)(4) is True
    assert entry(even)(5) is False
    assert entry(both)(7) == (3, 4)


@compiled_only
def test_annotations_decide_how_a_rule_is_called() -> None:
    assert isinstance(even, DeclaredRule)
    assert not isinstance(total, DeclaredRule)
    assert declared_signature(both.function) == ("int", "tuple[int, int]")
    import numpy as np

    assert entry(total)(np.array([4, 6])) == 5, "an undeclared rule calls declared ones"


@rule
def gives_too_much(x: int) -> int:
    return halved(x, x)  # type: ignore[call-arg]


@rule
def gives_a_float(x: int) -> int:
    return halved(x / 2)  # type: ignore[arg-type]


@rule
def raises(x: int) -> int:
    if x > 3:
        raise ValueError
    return x


@rule
def calls_back(x: int) -> int:
    return called_back(x)


@rule
def called_back(x: int) -> int:
    return calls_back(x) if x > 0 else 0


@compiled_only
@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (gives_too_much, NumbaError, "takes 1 arguments"),
        (gives_a_float, NumbaError, "where its annotation says int64"),
        (raises, NumbaError, "rules answer with a number"),
        (calls_back, RecursionError, "in a circle"),
    ],
)
def test_what_a_rule_must_not_do_is_said(wrong: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        entry(wrong)(5)  # type: ignore[arg-type]


@compiled_only
def test_a_global_of_the_same_name_as_a_field_is_not_taken_for_a_call() -> None:
    names = [name for name, _ in rule_cache.named(reads_field)]
    assert names == ["STEP"]


STEP = 1
flags = 7


def reads_field(page: object) -> int:
    return page.flags + STEP  # type: ignore[attr-defined, no-any-return]


def _frees_through_the_module(k: Kernel, pfn: int) -> None:
    buddy.free_pages(k, pfn, 0)


def test_a_rule_named_through_its_module_is_taken_for_a_call() -> None:
    assert dict(rule_cache.named(_frees_through_the_module))["buddy.free_pages"] is buddy.free_pages


@compiled_only
def test_the_other_process_visits_what_is_called_from_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    visited: list[str] = []
    monkeypatch.setattr(DeclaredRule, "load", lambda rule: visited.append(rule.function.__name__))
    monkeypatch.setattr(rule_calls, "_called", lambda function, seen: iter((even, both)))
    rule_calls.load_called(even)
    monkeypatch.setattr(rule_calls, "last_called_first", True)
    rule_calls.load_called(even)
    assert visited == ["even", "both", "both", "even"]


@compiled_only
def test_threads_may_load_rules_at_once() -> None:
    code = (
        "import threading\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from numa_sim.kernel import buddy, memory, vmscan\n"
        "begin = threading.Barrier(3)\n"
        "def loaded(rule):\n"
        "    begin.wait()\n"
        "    return rule.entry_point()\n"
        "with ThreadPoolExecutor(3) as threads:\n"
        "    rules = buddy.free_pages, memory.handle_mm_fault, vmscan.shrink_caches_begin\n"
        "    assert all(list(threads.map(loaded, rules)))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
