"""The schema that editors read is the program's own, and every shipped configuration names it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from numa_sim.cli.showing import view_text
from numa_sim.errors import ConfigError, TopologyError
from numa_sim.topology.presets import from_table
from numa_sim.topology.schema import machine_schema

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_committed_schema_is_what_the_program_prints() -> None:
    """After a change of the configuration: ``numa-sim show schema > configs/numa-sim.schema.json``."""
    assert (CONFIGS / "numa-sim.schema.json").read_text() == view_text("schema", None, ())


def test_the_committed_schema_of_machines_is_what_the_program_prints() -> None:
    """After a change of machines' files: ``numa-sim show schema machine > configs/numa-sim-machine.schema.json``."""
    assert (CONFIGS / "numa-sim-machine.schema.json").read_text() == view_text("schema", Path("machine"), ())


def test_every_shipped_machine_names_its_schema_and_fits_it() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    check = jsonschema.Draft202012Validator(machine_schema())
    machines = sorted((CONFIGS / "machines").glob("*.toml"))
    assert len(machines) > 30
    for file in machines:
        text = file.read_text()
        assert text.startswith("#:schema ../numa-sim-machine.schema.json\n"), file
        assert [error.message for error in check.iter_errors(tomllib.loads(text))] == [], file


@pytest.mark.parametrize(
    "change", [{"nodes": []}, {"distances": [[10, "21"], [21, 10]]}, {"latency": {}}, {"wheels": 4}, {"name": 5}]
)
def test_the_schema_of_machines_refuses_what_the_reader_does(change: dict[str, object]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    nodes = [{"memory": "1GiB", "cpus": "0"}, {"memory": "1GiB", "cpus": "1"}]
    good = {"nodes": nodes, "distances": [[10, 21], [21, 10]]}
    check = jsonschema.Draft202012Validator(machine_schema())
    assert check.is_valid(good)
    from_table(good, "file")
    assert not check.is_valid({**good, **change})
    with pytest.raises(TopologyError):
        from_table({**good, **change}, "file")


def test_there_are_two_schemas() -> None:
    with pytest.raises(ConfigError, match=r"no schema of 'my\.toml' \(allowed: machine, "):
        view_text("schema", Path("my.toml"), ())


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.toml")), ids=lambda file: file.stem)
def test_every_shipped_configuration_names_the_schema(file: Path) -> None:
    assert file.read_text().startswith("#:schema numa-sim.schema.json\n")


def test_the_schema_accepts_replicas_as_a_number_and_as_a_table() -> None:
    schema = json.loads((CONFIGS / "numa-sim.schema.json").read_text())
    number, table = schema["$defs"]["Sweep"]["properties"]["replicas"]["anyOf"]
    assert number["type"] == "integer"
    assert table == {"$ref": "#/$defs/Replicas"}
