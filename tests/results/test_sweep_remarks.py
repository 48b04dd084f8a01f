"""R12: a sweep says which means are not to be believed: those of runs cut short, and of replicas that are equal."""

import pyarrow as pa
import pytest
from sweep.tiny import config

from numa_sim.cli.app import main
from numa_sim.results import open_sweep
from numa_sim.results.sweep_remarks import cut_short, has_cut_short
from numa_sim.sweep import run_sweep

SWAP = {"nvme": [{"device": "nvme", "size": "8MiB"}], "none": []}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """Of two points the second has no swap, so that its task is killed."""
    cases = [{"label": label, "machine": {"swap": swap}} for label, swap in SWAP.items()]
    folder = tmp_path_factory.mktemp("sweeps") / "killed"
    run_sweep(config(replicas=2, cases=cases), folder, jobs=0)
    return folder


def printed(folder, capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(["sweep", "table", str(folder), *arguments])
    assert not ended.value.code
    return " ".join(capsys.readouterr().out.split())


def ending(folder, states):
    """A sweep whose runs ended so."""
    sweep = open_sweep(folder)
    at = sweep.table.column_names.index("exit_state")
    sweep._read["runs"] = sweep.table.set_column(at, "exit_state", pa.array(states))
    return sweep


def test_the_table_marks_rows_of_runs_that_ran_out_of_memory_and_says_how_many(killed, capsys):
    said = printed(killed, capsys, "--metric", "end_ns")
    assert "nvme 2 " in said
    assert "none 2* " in said
    assert "* 2 of 4 runs ended by oom (a task was killed for lack of memory), at machine = none. " in said
    assert "ended by" not in printed(killed, capsys, "--where", "machine=nvme")


@pytest.mark.parametrize(
    ("states", "said", "marks"),
    [
        (["ok", "ok", "ok", "ok"], [], [False, False]),
        (["until"] * 4, [], [False, False]),  # all last as long as was asked for
        (["ok", "ok", "until", "ok"], ["1 of 4 runs ended by until (time limit), at machine = nvme."], [True, False]),
        (["until", "until", "oom", "until"], ["1 of 4 runs ended by oom", "3 of 4 runs ended by until"], [True, True]),
    ],
)
def test_runs_are_cut_short_unless_all_end_alike(killed, states, said, marks):
    sweep = ending(killed, states)
    assert len(cut_short(sweep)) == len(said)
    assert all(line.startswith(start) for line, start in zip(cut_short(sweep), said, strict=True))
    assert has_cut_short(sweep, ["machine"]) == marks
    assert has_cut_short(sweep, []) == [any(marks)]


def test_equal_replicas_are_told_from_narrow_intervals(killed, capsys):
    assert "± 0: all replicas are equal." in printed(killed, capsys, "--metric", "frames")
    assert "all replicas" not in printed(killed, capsys, "--metric", "end_ns", "--where", "machine=nvme")
