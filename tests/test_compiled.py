"""Where compiled code is kept: found again, renewed when any source changes, and done without where it must be."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from numa_sim import compiled

TOUCH = (
    "from numa_sim.compiled import entry; from numa_sim.state.lists import active_add;"
    "from numa_sim.state.kernel import Sizes, new_kernel; k = new_kernel(Sizes(1, 1, 1024));"
    "entry(active_add)(k, 3); import numba; print(k.vm[0].active_head, numba.config.CACHE_DIR)"
)


def run(cache: str) -> str:
    env = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"} | {"NUMA_SIM_CACHE": cache}
    done = subprocess.run([sys.executable, "-c", TOUCH], env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.skipif(not compiled.COMPILED, reason="nothing is compiled")
def test_compiled_code_is_kept_in_the_folder_named(tmp_path: Path) -> None:
    assert run(str(tmp_path)) == f"3 {tmp_path / compiled.compiled_folder().name}"
    assert list(tmp_path.rglob("*.nbi"))


@pytest.mark.skipif(not compiled.COMPILED, reason="nothing is compiled")
def test_a_cache_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    head, folder = run(str(blocked)).split()
    assert head == "3"
    assert not Path(folder).exists(), "the temporary folder goes with its process"


def test_the_digest_depends_on_every_compiled_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("state", "kernel"):
        (tmp_path / name).mkdir()
    (tmp_path / "compiled.py").write_text("a = 1\n")
    (tmp_path / "kernel" / "rule.py").write_text("b = 1\n")
    monkeypatch.setattr(compiled, "_PACKAGE", tmp_path)
    before = compiled.source_digest()
    assert before == compiled.source_digest()
    (tmp_path / "kernel" / "rule.py").write_text("b = 2\n")
    assert compiled.source_digest() != before


@pytest.mark.skipif(not compiled.COMPILED, reason="nothing is compiled")
def test_compiling_is_announced_once_and_only_when_it_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(compiled, "_announced", [])
    monkeypatch.setattr(compiled.numba.config, "CACHE_DIR", str(tmp_path))
    compiled.announce_compiling(said.append)
    compiled.announce_compiling(said.append)
    assert len(said) == 1
    assert str(tmp_path) in said[0]
    monkeypatch.setattr(compiled, "_announced", [])
    (tmp_path / "rule.nbi").write_bytes(b"")
    compiled.announce_compiling(said.append)
    assert len(said) == 1
