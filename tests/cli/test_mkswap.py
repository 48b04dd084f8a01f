"""numa-sim mkswap: real swap headers in real files."""

from pathlib import Path

import pytest

from numa_sim.cli import app
from numa_sim.kernel.swap_header import SwapHeader, decode


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        app.main(["mkswap", *map(str, arguments)])
    return int(ended.value.code or 0)


def test_a_new_area(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "swap"
    assert run(image, "--size", "1MiB", "--bad", "3,7-8", "--label", "mine") == 0
    assert image.stat().st_size == 1 << 20
    assert decode(image.read_bytes()) == SwapHeader(2, 255, (3, 7, 8), "mine")
    assert "251 usable pages (1004 KiB), 3 bad" in capsys.readouterr().out


def test_an_existing_file_is_written_only_by_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "swap"
    image.write_bytes(b"x" * (20 * 4096))
    assert run(image) == 2
    assert "exists already (allowed: another name, or --force)" in capsys.readouterr().err
    assert run(image, "--force", "--version", "1") == 0
    assert decode(image.read_bytes()) == SwapHeader(1, 20)
    assert image.read_bytes()[4096:] == b"x" * (19 * 4096)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--size: missing"),
        (("--size", "4KiB"), "at least 10 pages"),
        (("--size", "soon"), "--size"),
        (("--size", "1MiB", "--version", "3"), "version 3"),
        (("--size", "1MiB", "--bad", "x"), "--bad"),
        (("--size", "1MiB", "--bad", "256"), "1..255"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert run(tmp_path / "swap", *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "swap").exists()
