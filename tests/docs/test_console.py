"""Every example of the documentation is true; and the checker finds those that are not."""

import difflib
import re
import subprocess
import tomllib

import console
import pytest
import typer
import yaml

from numa_sim.cli.app import app

FOLDERS = ("docs", "configs", "experiments", "benchmarks", "tests")
PAGES = sorted(
    [*console.ROOT.glob("*.md"), *(page for name in FOLDERS for page in (console.ROOT / name).rglob("*.md"))]
)
PAGES = [page for page in PAGES if not {"generated", "_build"} & set(page.parts)]
RUNNING = [page for page in PAGES if any(block.runs for block in console.blocks(page.read_text()))]


def name(page):
    return str(page.relative_to(console.ROOT))


@pytest.mark.parametrize("page", RUNNING, ids=name)
def test_the_examples_of_a_page_are_true(page, tmp_path):
    true = console.run_page(page, tmp_path)
    lines = difflib.unified_diff(page.read_text().splitlines(), true.splitlines(), name(page), "printed", lineterm="")
    difference = "\n".join(lines)
    assert not difference, f"{difference}\npython tests/docs/console.py --write {name(page)}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_block_is_run_or_says_why_not(page):
    text = page.read_text()
    for block in console.blocks(text):
        told = block.runs or block.mark.startswith("not run: ") or block.language in ("mermaid", "{toctree}")
        assert told, f"line {block.line}: write <!-- not run: REASON --> above it, or a kind of block that is run"
        if block.mark:
            assert re.fullmatch(r"(file|machine): [\w./-]+|fragment|output|not run: .+", block.mark), (
                f"line {block.line}: {block.mark}"
            )
    outside = re.sub(r"^( *)(```+).*?^\1\2$", "", text, flags=re.DOTALL | re.MULTILINE)
    assert not re.findall(r"^(?: {4}(?:\$ |numa-sim |make |python |pip ).*)$", outside, re.MULTILINE)


UNRUN = [
    pytest.param(block, id=f"{name(page)}:{block.line}")
    for page in PAGES
    for block in console.blocks(page.read_text())
    if not block.runs and block.mark.startswith("not run: ")
]


@pytest.mark.parametrize("block", UNRUN)
def test_what_cannot_be_run_can_at_least_be_read(block):
    """Shell, Python, TOML and YAML parse, and the options of our own commands exist."""
    if block.language in ("console", "bash"):
        lines = [command.text for command in console.commands(block.text)] if block.language == "console" else []
        subprocess.run(["bash", "-n"], input="\n".join(lines) or block.text, text=True, check=True)
        for words in re.findall(r"numa-sim ((?:[\w./:-]+|\"[^\"]*\"|\{\}/\d+|[ ])+)", block.text.replace("\\\n", " ")):
            assert_options_exist(words.split())
    elif block.language == "python":
        compile(block.text, "<example>", "exec")
    elif block.language == "toml":
        tomllib.loads(block.text)
    elif block.language == "yaml":
        job = yaml.safe_load(block.text)
        (container,) = job["spec"]["template"]["spec"]["containers"]
        assert_options_exist(container["command"][-1].split()[1:])
    else:
        assert block.language == "text", "shell, Python, TOML and YAML are checked; drawings are text"


def assert_options_exist(words):
    """The command and all its options, as the command line knows them."""
    command = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands.get(words[0]) or command.commands["run"]
        words = words[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.fixture
def root(monkeypatch, tmp_path):
    """Another project, with an empty collection of configurations, for pages of these tests."""
    (tmp_path / "project" / "configs").mkdir(parents=True)
    monkeypatch.setattr(console, "ROOT", tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def session(root, tmp_path):
    (tmp_path / "session").mkdir()
    return console.Session(tmp_path / "session")


def run(root, text):
    page, folder = root / "page.md", root / "run"
    page.write_text(text)
    folder.mkdir()
    return console.run_page(page, folder)


def test_a_wrong_output_is_found_and_mended(root):
    wrong = "```console\n$ echo one\ntwo\n$ echo three\nthree\n```\n"
    assert run(root, wrong) == wrong.replace("two", "one")


def test_dots_stand_for_anything(root):
    right = "```console\n$ seq 5\n1\n...\n5\n$ echo took 17 ms\ntook ... ms\n```\n"
    assert run(root, right) == right
    assert not console.agrees("1\n...\n6\n", "1\n2\n5\n")
    assert not console.agrees("took ... s\n", "took 17 ms\n")


def test_a_command_that_fails_is_found_unless_its_status_is_shown(root, session):
    with pytest.raises(console.ExampleError, match=r"page.md:2: \$ false\nfailed \(1\)"):
        run(root, "```console\n$ false\n```\n")
    assert session.run(console.Block("console", "$ false\n$ echo $?\n", 0, 1, "")) == "$ false\n$ echo $?\n1\n"


def test_a_mistake_of_the_command_line_shows_its_message(session):
    text = "$ numa-sim run no.toml\n$ echo $?\n"
    assert "no.toml" in session.run(console.Block("console", text, 0, 1, ""))
    assert session.run(console.Block("console", text, 0, 1, "")).endswith("$ echo $?\n2\n")


def test_bad_configurations_python_and_doctests_are_found(session):
    for language, text, mark, problem in (
        ("toml", "[machine]\npreset = 1\n", "", "preset"),
        ("toml", "[kernel]\nprofile = 'linux-9'\n", "fragment", "profile"),
        ("python", "raise ValueError('odd')\n", "", "odd"),
        ("python", ">>> 1 + 1\n3\n", "", "Failed example"),
    ):
        with pytest.raises(Exception, match=problem):
            session.run(console.Block(language, text, 0, 1, mark))


def test_a_fragment_is_laid_over_a_small_configuration(session):
    for text in ("[kernel]\nreclaim = 'lru'\n", "[machine]\npreset = 'xeon-e5-2680-2s'\n", "[run]\nseed = 3\n"):
        assert session.run(console.Block("toml", text, 0, 1, "fragment")) == text
    with pytest.raises(Exception, match="machine"):
        session.run(console.Block("toml", "[run]\nseed = 3\n", 0, 1, ""))


def test_files_of_earlier_blocks_are_there(root):
    text = "<!-- file: a/b.txt -->\n```text\nhello\n```\n\n```console\n$ cat a/b.txt\nhello\n```\n"
    assert run(root, text) == text


def test_what_python_prints_is_compared_with_the_output_block(root):
    wrong = "```python\nprint(6 * 7)\n```\n\n<!-- output -->\n```text\n41\n```\n"
    assert run(root, wrong) == wrong.replace("41", "42")


def test_a_picture_must_be_made_by_the_examples_of_its_page(root, tmp_path):
    shown = "![it](images/examples/it.png)\n"
    with pytest.raises(console.ExampleError, match=r"page\.md: no example makes the picture it\.png"):
        run(root, shown)
    made = shown + "\n```python\nopen('it.png', 'w').write('x')\n```\n"
    (root / "page.md").write_text(made)
    (tmp_path / "again").mkdir()
    assert console.run_page(root / "page.md", tmp_path / "again") == made
    console.keep_pictures(root / "page.md", tmp_path / "again")
    assert (root / "images" / "examples" / "it.png").read_text() == "x"
