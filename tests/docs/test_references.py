"""What the documentation names exists: files, functions, links."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "numa_sim"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "configs").rglob("*.md")])
PAGES = [page for page in PAGES if not {"generated", "_build"} & set(page.parts)]
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
        if "://" not in target and "generated/" not in target:  # those are written when the site is made
            assert (page.parent / target).exists(), target


MODEL = sorted(page for page in (ROOT / "docs" / "model").glob("*.md") if page.name != "README.md")


@pytest.mark.parametrize("page", MODEL, ids=ids)
def test_a_model_page_says_what_for_what_is_simplified_how_far_to_trust_it_and_where_it_is_tested(page):
    text = page.read_text()
    for part in ("**For:**", "**Simplified", "**How far:**", "**Tested in**"):
        assert part in text, part
    assert re.search(r"`tests/\S+\.py`", text.partition("**Tested in**")[2])
    assert re.search(r"`[\w/]+\.py(:\w+)?`|mm/\w+\.c", text.partition("**For:**")[2]), "names no rule"
    assert f"]({page.name})" in (page.parent / "README.md").read_text()
