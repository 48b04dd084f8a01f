"""Every kind of damage to a run folder is found and named."""

import json
import shutil

import pytest
from synthetic_run import small_run

from numa_sim.errors import RunFolderError
from numa_sim.results import check_run, open_run, verify_run, write_run
from numa_sim.results.canonical import canonical_json, file_entry, seal


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_run(small_run(samples=5, trace=True, events=8), tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "run")


def test_an_untouched_copy_is_whole(folder):
    assert verify_run(folder) == []
    check_run(folder)


NAMES = (
    "manifest.json", "environment.json", "summary.json", "timeseries.parquet", "timeseries-swap.parquet",
    "timeseries-disk.parquet", "timeseries-cpu.parquet", "events.parquet", "overview.png", "proc/meminfo",
    "proc/vmstat", "proc/zoneinfo", "proc/buddyinfo", "proc/slabinfo", "proc/numastat", "proc/zonelists",
    "proc/swaps",
)  # fmt: skip


def test_the_names_are_all(original):
    files = (path for path in original.rglob("*") if path.is_file())
    assert {path.relative_to(original).as_posix() for path in files} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_missing(folder, name):
    (folder / name).unlink()
    assert any(problem.startswith(name) and "missing" in problem for problem in verify_run(folder))
    with pytest.raises(RunFolderError, match="missing"):
        check_run(folder)


@pytest.mark.parametrize("name", NAMES)
def test_truncated(folder, name):
    content = (folder / name).read_bytes()
    for size in (0, 1, len(content) // 2, len(content) - 2):
        (folder / name).write_bytes(content[:size])
        assert any(problem.startswith(name) for problem in verify_run(folder)), size


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_bit(folder, name):
    content = bytearray((folder / name).read_bytes())
    for at in (0, len(content) // 3, len(content) // 2, len(content) - 3):
        content[at] ^= 4
        (folder / name).write_bytes(content)
        assert any(problem.startswith(name) for problem in verify_run(folder)), at
        content[at] ^= 4


def test_added(folder):
    (folder / "notes.txt").write_text("mine")
    (folder / "more").mkdir()
    (folder / "proc" / "version").write_text("mine")
    extra = ("more", "notes.txt", "proc/version")
    assert verify_run(folder) == [f"{name}: is not in the manifest" for name in extra]


def test_replaced_by_a_folder_or_a_link(folder):
    (folder / "summary.json").rename(folder.parent / "elsewhere")
    (folder / "summary.json").symlink_to(folder.parent / "elsewhere")
    (folder / "events.parquet").unlink()
    (folder / "events.parquet").mkdir()
    problems = verify_run(folder)
    assert "summary.json: is not a plain file" in problems
    assert "events.parquet: is not a plain file" in problems


@pytest.mark.parametrize("name", ["manifest.json", "environment.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"format_version": 1', "\ufeff", "[" * 100_000])
def test_no_json(folder, name, text):
    (folder / name).write_text(text, encoding="utf-8")
    assert f"{name}: is not a JSON object" in verify_run(folder)


def rewrite(folder, name, change):
    document = json.loads((folder / name).read_bytes())
    change(document)
    (folder / name).write_bytes(canonical_json(document))


@pytest.mark.parametrize(("key", "value"), [("seed", 2), ("exit_state", "ok"), ("config", {}), ("event_hash", "0-0")])
def test_an_edited_manifest(folder, key, value):
    rewrite(folder, "manifest.json", lambda document: document.update({key: value}))
    assert "manifest.json: was changed after it was written" in verify_run(folder)


def test_an_unknown_format(folder):
    rewrite(folder, "manifest.json", lambda document: document.update(format_version=3))
    unknown = "format_version 3 is unknown, this numa_sim reads 1 to 2; a newer numa_sim wrote it, upgrade this one"
    assert verify_run(folder)[0] == f"manifest.json: {unknown}"
    with pytest.raises(RunFolderError, match=unknown):
        open_run(folder)


def reseal(folder, change):
    """Change the manifest as somebody would who knows how to seal it."""
    document = json.loads((folder / "manifest.json").read_bytes())
    document.pop("self_sha256")
    change(document)
    (folder / "manifest.json").write_bytes(canonical_json(seal(document)))


def test_hashes_that_contradict_each_other(folder):
    reseal(folder, lambda document: document.update(state_hash="0" * 32, event_count=1))
    problems = verify_run(folder)
    assert len(problems) == 2
    assert problems[0].startswith("summary.json: event_count is 5, the manifest says 1")
    assert "state_hash" in problems[1]


def test_a_table_that_is_none_although_listed(folder):
    (folder / "timeseries.parquet").write_bytes(b"PAR1 or not")
    reseal(folder, lambda document: document["files"].update({"timeseries.parquet": file_entry(b"PAR1 or not")}))
    (problem,) = verify_run(folder)
    assert problem.startswith("timeseries.parquet: cannot be read")
    with pytest.raises(RunFolderError, match=r"timeseries\.parquet cannot be read"):
        _ = open_run(folder).timeseries


def test_files_outside_the_folder_are_not_looked_at(folder):
    (folder.parent / "secret").write_text("x")
    outside = ("../secret", "proc/../../secret", str(folder.parent / "secret"))
    reseal(folder, lambda document: document["files"].update({**dict.fromkeys(outside, file_entry(b"x")), "a": 3}))
    problems = verify_run(folder)
    assert all(f"{name!r}: is no proper entry of the manifest" in problems for name in outside)
    assert "'../secret': is no proper entry of the manifest" in problems
    assert "'a': is no proper entry of the manifest" in problems


def test_lists_that_are_none(folder):
    reseal(folder, lambda document: document.update(files=[]))
    assert "manifest.json: lists no files" in verify_run(folder)


def test_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    assert verify_run(tmp_path / "empty") == ["manifest.json is missing: this is no run folder, or not a whole one"]
    for name, text in (
        ("nothing", "not exist"),
        ("x" * 300, "not exist"),
        ("a\0b", "not exist"),
        ("file", "not a folder"),
    ):
        with pytest.raises(RunFolderError, match=text):
            verify_run(tmp_path / name)
        with pytest.raises(RunFolderError, match=text):
            open_run(tmp_path / name)
    with pytest.raises(RunFolderError, match=r"has no manifest\.json"):
        open_run(tmp_path / "empty")


def test_the_name_of_an_unfinished_folder(original, tmp_path):
    folder = shutil.copytree(original, tmp_path / f".run.writing-1-{'a' * 32}")
    (problem,) = verify_run(folder)
    assert "never finished" in problem
