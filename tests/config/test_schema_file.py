"""The schema that editors read is the program's own, and every shipped configuration names it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from numa_sim.cli.showing import view_text

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_committed_schema_is_what_the_program_prints() -> None:
    """After a change of the configuration: ``numa-sim show schema > configs/numa-sim.schema.json``."""
    assert (CONFIGS / "numa-sim.schema.json").read_text() == view_text("schema", None, ())


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.toml")), ids=lambda file: file.stem)
def test_every_shipped_configuration_names_the_schema(file: Path) -> None:
    assert file.read_text().startswith("#:schema numa-sim.schema.json\n")


def test_the_schema_accepts_replicas_as_a_number_and_as_a_table() -> None:
    schema = json.loads((CONFIGS / "numa-sim.schema.json").read_text())
    number, table = schema["$defs"]["Sweep"]["properties"]["replicas"]["anyOf"]
    assert number["type"] == "integer"
    assert table == {"$ref": "#/$defs/Replicas"}
