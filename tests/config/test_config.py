"""What a configuration says when it is right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from config import documents

from numa_sim.config import Config, json_schema, load, topology_of
from numa_sim.config.reader import apply_override
from numa_sim.errors import ConfigError
from numa_sim.state.hardware_layout import COSTS

SMALL = """
[machine]
preset = "xeon-platinum-8163-2s"
[kernel.sysctl]
vm.vm_passes = 10
"vm.page-cluster" = 2
"""


def _load(folder: Path, text: str, *overrides: str) -> Config:
    file = folder / "a.toml"
    file.write_text(text)
    return load(file, overrides)


def test_sysctls_may_be_written_with_and_without_quotes(tmp_path: Path) -> None:
    sysctl = _load(tmp_path, SMALL).kernel.sysctl
    assert (sysctl.vm_passes, sysctl.page_cluster, sysctl.vm_cache_scan_ratio) == (10, 2, 6)


def test_overrides_change_what_they_name_and_later_ones_win(tmp_path: Path) -> None:
    config = _load(
        tmp_path,
        SMALL,
        "kernel.sysctl.vm.vm_passes=20",
        "run.seed=3",
        "run.seed=4",
        "machine.memory_per_node=64MiB",
        "run.until='2s'",
        'machine.swap=[{device="nvme", size="1GiB"}]',
        "machine.swap.0.size=2GiB",
        "kernel.switches.tlb=false",
    )
    assert config.kernel.sysctl.vm_passes == 20
    assert config.run.seed == 4
    assert config.machine.memory_per_node == 64 << 20
    assert config.run.until == 2_000_000_000
    assert config.machine.swap[0].size == 2 << 30
    assert not config.kernel.switches.tlb
    assert config.kernel.switches.kswapd


def test_an_override_cannot_smuggle_in_a_second_key() -> None:
    document: dict[str, object] = {}
    assert apply_override(document, "run.check=1\nseed = 2") == ("run", "check")
    assert document == {"run": {"check": "1\nseed = 2"}}


def test_toml_and_json_mean_the_same(tmp_path: Path) -> None:
    from_toml = _load(tmp_path, SMALL)
    file = tmp_path / "a.json"
    file.write_text(json.dumps(from_toml.resolved()))
    assert load(file).sha256 == from_toml.sha256


def test_the_hash_follows_the_values_and_not_the_place_or_the_spelling(tmp_path: Path) -> None:
    first = _load(tmp_path, SMALL)
    elsewhere = tmp_path / "b"
    elsewhere.mkdir()
    assert _load(elsewhere, SMALL).sha256 == first.sha256
    assert _load(tmp_path, SMALL, "costs.syscall=0.2us").sha256 == first.sha256
    assert _load(tmp_path, SMALL, "costs.syscall=201ns").sha256 != first.sha256


def test_python_may_give_integers_where_files_must_name_units() -> None:
    made = Config.of(machine={"preset": "xeon-platinum-8163-2s", "memory_per_node": 1 << 26}, run={"until": 5})
    assert made.machine.memory_per_node == 1 << 26
    assert made.run.until == 5
    with pytest.raises(ConfigError, match=r"<python>: run\.until: '5 parsecs'"):
        Config.of(machine={"preset": "a"}, run={"until": "5 parsecs"})


def test_every_cost_of_the_state_has_its_entry() -> None:
    costs = Config.of(machine={"preset": "a"}).costs.entries()
    assert set(costs) == {name for name in COSTS.names or () if name.endswith("_ns")}
    assert all(value > 0 for name, value in costs.items() if name != "segment_check_ns"), "that is done in hardware"


def test_swap_areas_are_named_after_device_and_place() -> None:
    swap = [{"device": "nvme", "size": "1GiB"}, {"device": "hdd", "size": "1GiB", "name": "slow"}]
    config = Config.of(machine={"preset": "a", "swap": swap})
    assert config.machine.swap_names() == ("nvme0", "slow")
    assert [area["name"] for area in config.resolved()["machine"]["swap"]] == ["nvme0", "slow"]


def test_configurations_do_not_change() -> None:
    config = Config.of(machine={"preset": "a"})
    with pytest.raises(Exception, match="frozen"):
        config.run.seed = 3  # type: ignore[misc]


def test_the_schema_accepts_what_is_right_and_has_every_default() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for document in documents.DOCUMENTS.values():
        validator.validate(document)
        validator.validate(Config.model_validate(document, context={"origin": "x"}).resolved())
    assert not validator.is_valid({"machine": {"preset": 3}})
    assert schema["$defs"]["Costs"]["properties"]["ipi"]["default"] == "1us"
    assert schema["$defs"]["Tlb"]["properties"]["ways"]["default"] == 8


def test_regions_may_be_mapped_again_after_they_are_unmapped() -> None:
    body = [
        {"op": "mmap", "as": "a", "size": "1MiB"},
        {"op": "touch", "on": "a", "pattern": {"kind": "uniform"}, "accesses": 1},
        {"op": "munmap", "on": "a"},
    ]
    program = [{"op": "repeat", "times": 5, "program": body}, *body]
    assert Config.of(machine={"preset": "a"}, workload=[{"name": "w", "program": program}])


def test_topology_is_scaled_and_its_bandwidth_replaced() -> None:
    machine = {"preset": "xeon-platinum-8163-2s", "memory_per_node": "64MiB", "cpus_per_node": 2}
    topology = topology_of(Config.of(machine={**machine, "memory": {"bandwidth": "7GB/s"}}))
    assert [node.memory_bytes for node in topology.nodes] == [64 << 20, 64 << 20]
    assert topology.cpu_count == 4
    assert topology.bandwidth == (7_000_000_000,) * 2


def test_inline_machines_keep_their_figures() -> None:
    topology = topology_of(Config.model_validate({"machine": {**documents.INLINE["machine"], "memory": {}}}))
    assert topology.latency_ns == ((90, 140), (140, 90))
    assert topology.bandwidth == (50_000_000_000, 40_000_000_000)
    assert [(link.a, link.b, link.bandwidth, link.name) for link in topology.links] == [(0, 1, 20_000_000_000, "qpi")]


def test_machine_files_are_looked_for_beside_the_configuration(tmp_path: Path) -> None:
    topology = topology_of(load(documents.write(tmp_path, documents.FROM_FILE)))
    assert (len(topology), topology.cpu_count) == (1, 2)


CHILD_ENDS = {"op": "exit", "status": 1}


@pytest.mark.parametrize(
    ("program", "path"),
    [
        ([{"op": "fork", "name": "a/b", "program": [CHILD_ENDS]}], "program.0.name"),
        ([{"op": "vfork", "program": []}], "program.0.program"),
        ([{"op": "exec", "program": [CHILD_ENDS]}, {"op": "wait"}], "program.0"),
        ([{"op": "exec", "program": [CHILD_ENDS], "text": "4KiB"}], "program.0.text"),
        ([{"op": "exec", "program": [CHILD_ENDS], "file": "f", "text": "4KiB"}], "program.0.file"),
        (
            [{"op": "fork", "program": [{"op": "munmap", "on": "heap"}]}],
            "program.0.program.0.on",
        ),
    ],
)
def test_children_that_cannot_be_meant_are_refused_before_the_run(program: list[dict[str, Any]], path: str) -> None:
    with pytest.raises(ConfigError, match=path.replace(".", r"\.")):
        Config.of(machine={"preset": "xeon-silver-4108-2s"}, workload=[{"name": "w", "program": program}])


def test_a_child_knows_its_parents_regions_and_forgets_none_of_the_parents() -> None:
    heap = {"op": "mmap", "as": "heap", "size": "1MiB"}
    gone = {"op": "munmap", "on": "heap"}
    program = [heap, {"op": "fork", "program": [gone]}, gone]
    preset = {"preset": "xeon-silver-4108-2s"}
    config = Config.of(machine=preset, workload=[{"name": "w", "program": program}])
    assert [operation.op for operation in config.workload[0].program] == ["mmap", "fork", "munmap"]
    with pytest.raises(ConfigError, match=r"program\.2\.on.*heap"):
        Config.of(machine=preset, workload=[{"name": "w", "program": [heap, gone, gone]}])
    child = {"op": "fork", "program": [gone, gone]}
    with pytest.raises(ConfigError, match=r"program\.1\.program\.1\.on.*heap"):
        Config.of(machine=preset, workload=[{"name": "w", "program": [heap, child]}])


def test_max_tasks_below_the_workloads_own_number_is_refused() -> None:
    workload = [{"name": "w", "count": 3, "program": [CHILD_ENDS]}]
    with pytest.raises(ConfigError, match=r"kernel\.max_tasks"):
        Config.of(machine={"preset": "xeon-silver-4108-2s"}, workload=workload, kernel={"max_tasks": 2})


@pytest.mark.parametrize(
    ("access", "op"), [("read", "write"), ("write", "read"), ("read", "truncate")], ids=lambda what: str(what)
)
def test_a_file_is_used_as_it_was_opened(access: str, op: str) -> None:
    """What would be EBADF or EINVAL in the run is refused before it, with what to change."""
    program = [
        {"op": "open", "file": "data", "as": "fd", "access": access},
        {"op": "fork", "program": [{"op": op, "on": "fd", "size": "4KiB"}]},
    ]
    with pytest.raises(ConfigError, match=rf"program\.1\.program\.0\.on: .*opened with access = '{access}' only"):
        Config.of(
            machine={
                "preset": "xeon-silver-4108-2s",
                "disk": [{"name": "sda", "device": "nvme", "size": "1GiB"}],
                "file": [{"name": "data", "size": "1MiB", "disk": "sda"}],
            },
            workload=[{"name": "one", "program": program}],
        )
