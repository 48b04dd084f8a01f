"""The package's public names: all there, and none imported before it is used."""

import subprocess
import sys

import pytest

import numa_sim

HEAVY = ("numpy", "numba", "pyarrow", "matplotlib", "pandas", "networkx", "pydantic", "simpy", "typer", "rich", "scipy")


@pytest.mark.parametrize("name", numa_sim.__all__)
def test_every_public_name_is_there(name):
    assert getattr(numa_sim, name) is not None
    assert name in dir(numa_sim)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'zip'"):
        _ = numa_sim.zip


def test_import_is_quick():
    code = (
        "import sys, numa_sim\n"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not heavy, heavy\n"
        "numa_sim.GiB, numa_sim.NumaSimError\n"
        "assert 'numba' not in sys.modules and 'pyarrow' not in sys.modules\n"
        "numa_sim.Run\n"
        "slow = [name for name in ('pyarrow', 'matplotlib', 'pandas') if name in sys.modules]\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
