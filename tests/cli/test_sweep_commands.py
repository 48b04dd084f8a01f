"""``numa-sim sweep``: a configuration is its default, status and table look at a folder; mistakes are one line."""

import shutil
from pathlib import Path

import pytest
from sweep_folders import write_design

from numa_sim.cli.app import main

FOLDER = Path(__file__).parents[1] / "data" / "formats" / "v1" / "sweep"
MEMORY = "machine.memory_per_node"


@pytest.fixture
def said(capsys):
    """Runs a command; its exit code, output and errors."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return run


def test_table_prints_means_with_half_widths(said):
    code, out, _ = said("sweep", "table", FOLDER)
    assert code == 0
    assert "only 3 of 4 runs are there, 1 failed" in out
    [small] = [line.split() for line in out.splitlines() if line.startswith("8MiB")]
    assert small[:5] == ["8MiB", "2", "15.2", "±", "2.0"]
    [large] = [line.split() for line in out.splitlines() if line.startswith("9MiB")]
    assert "±" not in large  # one replica
    assert max(map(len, out.splitlines()[2:])) <= 120


def test_table_shows_what_was_asked_for(said):
    code, out, _ = said(
        "sweep", "table", FOLDER, "--by", MEMORY, "--metric", "pgmajfault", "--metric", "fault_mean_ns",
        "--confidence", "0.9",
    )  # fmt: skip
    assert code == 0
    assert "pgmajfault" in out
    assert "end_ns" not in out
    assert "104.5 ± 9.5" in out
    assert "90 % intervals" in out
    assert "0 to 2" in out  # no fault latency was recorded


def test_what_is_asked_for_twice_is_shown_once(said):
    _, once, _ = said("sweep", "table", FOLDER, "--by", MEMORY, "--metric", "pgmajfault")
    _, twice, _ = said(
        "sweep", "table", FOLDER, "--by", MEMORY, "--by", MEMORY, "--metric", "pgmajfault", "--metric", "pgmajfault"
    )
    assert once == twice


def test_metrics_that_replicas_were_not_made_for_are_empty_not_wrong(said):
    _, out, _ = said("sweep", "table", FOLDER, "--metric", "fault_mean_ns")
    assert [line.split() for line in out.splitlines() if "MiB" in line and "points" not in line] == [
        ["8MiB", "0", "-"],
        ["9MiB", "0", "-"],
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--metric", "pgmajfalt"), "has no metric 'pgmajfalt' to average (near: pgmajfault"),
        (("--by", "machine"), f"has no factor 'machine' (allowed: {MEMORY})"),
        (("--confidence", "95"), "confidence: must be between 0 and 1, not 95.0"),
    ],
)
def test_wrong_options_of_table_are_one_line(said, options, message):
    code, out, err = said("sweep", "table", FOLDER, *options)
    assert (code, out) == (2, "")
    assert err.startswith("numa-sim: error: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_folder_that_is_no_sweep_is_one_line(said, tmp_path):
    for command in ("table", "status"):
        assert said("sweep", command, tmp_path) == (
            2, "", f"numa-sim: error: {tmp_path}: has no sweep.json: it is no sweep folder\n"
        )  # fmt: skip


def test_damaged_sweeps_are_one_line(said, tmp_path):
    folder = tmp_path / "s"
    shutil.copytree(FOLDER, folder)
    (folder / "results.parquet").write_bytes(b"PAR1")
    code, _, err = said("sweep", "table", folder)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "results.parquet cannot be read" in err
    (folder / "results.parquet").unlink()
    (folder / "runs" / "2f686854ccd66fe5" / "summary.json").write_text("{")
    code, _, err = said("sweep", "table", folder)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "summary.json cannot be read" in err


def test_status_of_a_sweep(said):
    code, out, _ = said("sweep", "status", FOLDER)
    assert code == 3  # one run was quarantined
    assert "2 points x 2 replicas, 4 runs" in out


def test_status_of_an_empty_sweep(said, tmp_path):
    write_design(tmp_path, [])
    assert said("sweep", "status", tmp_path)[0] == 0


@pytest.mark.parametrize("words", [("nothing.toml",), ("--jobs", "2", "nothing.toml"), ("run", "nothing.toml")])
def test_any_other_word_is_a_configuration(said, words):
    code, _, err = said("sweep", *words)
    assert code == 2
    assert err == "numa-sim: error: nothing.toml: cannot be read: No such file or directory\n"


def test_help_names_what_there_is(said):
    code, out, _ = said("sweep", "--help")
    assert code == 0
    assert all(f"  {name} " in out for name in ("run", "status", "table"))
    assert "--shard" in said("sweep", "run", "--help")[1]
