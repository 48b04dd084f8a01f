"""What the documentation names exists: files, functions, links, and the README's own example."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "numa_sim"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "configs").rglob("*.md")])
NAMED = re.compile(r"`([\w./-]+\.py)(?::([A-Za-z_][\w.]*))?`")
LINK = re.compile(r"\]\(([^)#\s]+)")


def ids(page):
    return str(page.relative_to(ROOT))


@cache
def defined(path):
    """Functions, classes, methods and module-level names of a file."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names.update(f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef))
    return names


def test_there_is_documentation():
    assert len(PAGES) > 20
    assert sum(len(NAMED.findall(page.read_text())) for page in PAGES) > 100


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_named_files_and_functions_exist(page):
    for name, symbol in NAMED.findall(page.read_text()):
        places = [base / name for base in (PACKAGE, ROOT, page.parent)]
        found = [place for place in places if place.is_file()]
        assert found, f"{name} does not exist"
        if symbol:
            assert symbol in defined(found[0]), f"{name} has no {symbol}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)


def test_readme_configuration_gives_the_output_shown(tmp_path, capsys):
    """The rows and columns shown are those printed; the numbers belong to the version that printed them."""
    from numa_sim.cli.app import main

    (config,) = blocks("toml")
    assert tomllib.loads(config)
    (tmp_path / "my.toml").write_text(config)
    with pytest.raises(SystemExit) as ended:
        main(["run", str(tmp_path / "my.toml"), "--out", str(tmp_path / "run")])
    assert ended.value.code == 0
    shown = [block for block in blocks("text") if "finished after" in block]
    assert len(shown) == 1
    assert labels(shown[0]) == labels(capsys.readouterr().out)


def labels(output):
    """Lines without their numbers, and without the paths."""
    lines = (re.sub(r"\s[\s\d.,%]*\d.*", "", line).strip() for line in output.rstrip().splitlines())
    return [line for line in lines if not line.startswith(("run folder", "picture"))]


def test_readme_python_runs():
    (program,) = blocks("python")
    exec(compile(program, "README.md", "exec"), {})  # it asserts nothing; it must run
