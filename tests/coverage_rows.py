"""The acceptance list and the tests that show its rows: `docs/rows.tsv`, `@pytest.mark.row(...)`, `docs/coverage.md`.

A row is *shown* when a test that really runs carries its mark; nothing else counts.  ``make coverage`` writes the page.
"""

import ast
import csv
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "coverage.md"
NOTES = {
    "S0": "Note 000: memory management, part 1",
    "S1": "Note 001: kernel study notes",
    "S2": "Note 002: use and turnover of physical pages",
    "S3": "Note 003: core kernel commentary, chapter 8",
    "S4": "Note 004: questions and answers on memory management",
    "X": "Needed although no note spells it out",
}
NOT_RUN = {"skip", "xfail"}


def rows():
    """Rows of the acceptance list: id to (term, behaviour)."""
    with (ROOT / "docs" / "rows.tsv").open(newline="") as file:
        return {line["row"]: (line["term"], line["behaviour"]) for line in csv.DictReader(file, delimiter="\t")}


def _mark(node):
    """Name and string arguments of a ``pytest.mark.name(...)``; ("", []) if `node` is something else."""
    call = node.func if isinstance(node, ast.Call) else node
    if not (isinstance(call, ast.Attribute) and isinstance(call.value, ast.Attribute) and call.value.attr == "mark"):
        return "", []
    arguments = node.args if isinstance(node, ast.Call) else []
    return call.attr, [a.value for a in arguments if isinstance(a, ast.Constant) and isinstance(a.value, str)]


def marks_of(source):
    """Which rows each test of a module's source text carries: (test name, row) pairs of tests that run."""
    found = []

    def visit(body, inherited, prefix):
        marks = list(inherited)
        for node in body:
            if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "pytestmark" for t in node.targets):
                values = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
                marks += [_mark(value) for value in values]
        for node in body:
            if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                visit(node.body, [*marks, *map(_mark, node.decorator_list)], f"{prefix}{node.name}::")
            elif isinstance(node, ast.FunctionDef) and node.name.startswith("test"):
                own = [*marks, *map(_mark, node.decorator_list)]
                if not NOT_RUN & {name for name, _ in own}:
                    found.extend((prefix + node.name, row) for name, names in own if name == "row" for row in names)

    visit(ast.parse(source).body, [], "")
    return found


def shown():
    """Row id to the tests that show it, as ``tests/file.py::name``, in the order of the files."""
    tests = defaultdict(list)
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, row in marks_of(file.read_text()):
            tests[row].append(f"{file.relative_to(ROOT)}::{name}")
    return dict(tests)


def _cell(text):
    return text.replace("|", "\\|")


def render():
    """Text of docs/coverage.md."""
    every, tests = rows(), shown()
    lines = [
        "# What is shown by a test",
        "",
        "Every row of the acceptance list (`docs/rows.tsv`) with the tests that carry its mark (see `make coverage`).",
        "A row without a test is open, whatever the documentation says.  Remarks about the kernel's source have",
        "nothing to show.",
        "",
        "| note | rows | shown |",
        "|---|---|---|",
    ]
    of_note = {note: [row for row in every if row.split("-")[0] == note] for note in NOTES}
    for note, title in NOTES.items():
        lines.append(f"| {title} | {len(of_note[note])} | {sum(row in tests for row in of_note[note])} |")
    for note, title in NOTES.items():
        lines += ["", f"## {title}", "", "| row | what | shown by |", "|---|---|---|"]
        for row in of_note[note]:
            term, behaviour = every[row]
            state = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in tests.get(row, []))
            state = state or ("a remark" if behaviour == "no test" else "open")
            lines.append(f"| {row} | {_cell(term)}: {_cell(behaviour)} | {state} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render())
