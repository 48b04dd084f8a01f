"""A machine written down in a run folder is the machine that is read back."""

from __future__ import annotations

import json

import pytest

from numa_sim.errors import TopologyError
from numa_sim.topology import from_document, preset, preset_names, to_document


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_read_back_as_it_was(name: str) -> None:
    machine = preset(name)
    assert from_document(json.loads(json.dumps(to_document(machine))), machine.source) == machine


def test_what_is_no_machine_is_refused() -> None:
    document = to_document(preset(preset_names()[0]))
    for change in ({"nodes": 3}, {"nodes": [{}]}, {"curves": [3]}, {"distance": 5}, {"links": [{"a": 0}]}):
        with pytest.raises(TopologyError, match=r"^run/topology\.json: is no machine"):
            from_document({**document, **change}, "run/topology.json")
    with pytest.raises(TopologyError):
        from_document({**document, "distance": [[11]]}, "run/topology.json")
