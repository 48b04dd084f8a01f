"""Every field of the configuration, wrong in every way: exit 2, one line with file, path and choices, no traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from config import documents
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numa_sim.cli.app import main
from numa_sim.config.explain import dotted
from numa_sim.config.model import Config
from numa_sim.config.reader import build, load
from numa_sim.config.resolve import topology_of
from numa_sim.config.schema import node_at, sections
from numa_sim.errors import ConfigError

PathInDocument = tuple[str | int, ...]


def _places() -> dict[tuple[str, str], tuple[str, PathInDocument]]:
    """Where each field of each section stands: a document and a path in it."""
    found: dict[tuple[str, str], tuple[str, PathInDocument]] = {}
    for name, document in documents.DOCUMENTS.items():
        config = Config.model_validate(document, context={"origin": name})
        for section, field, path in documents.fields(config, document):
            found.setdefault((section, field), (name, path))
    return found


PLACES = _places()
PLACE_IDS = [f"{section}.{field}" for section, field in PLACES]

_WRONG_TYPES: dict[str, list[Any]] = {
    "string": [[], {}, True, 1.5],
    "integer": ["x", "1", 1.5, True, [], {}],
    "number": ["x", "0.5", True, [], {}],
    "boolean": [1, 0, "true", [], {}],
    "array": [5, "x", True, {}, [[[]]], [None]],
    "object": [5, "x", True, [], [1]],
}
_BAD_QUANTITIES = ["", "5", "x", "5 parsecs", "-5", "1e9", "nan", "0x10", "999999999999999", "5,0"]
_BAD_TIMES = ["-5ns", "5NS", "5Ms", "5S", "5KiB", "0.5ns", "99999999999h"]
_BAD_SIZES = ["-5B", "5K", "5G", "5gib", "5KIB", "5ms", "0.3B", "99999999TiB"]
_BAD_BANDWIDTHS = ["-5B/s", "5GB", "5gb/s", "5G/s", "1B/s", "99999999TB/s"]


def _bad_values(node: dict[str, Any]) -> Iterator[Any]:
    """Values that `node` of the schema does not allow."""
    kind = node.get("type", "object")
    if "discriminator" in node:
        kind = "object"
    if node.get("x-values", "").startswith("a value of the field"):  # which field, its range's key says
        yield from ([], {}, True, "")
        return
    yield from _WRONG_TYPES[kind]
    for word in node.get("enum", [node["const"]] if "const" in node else []):
        if isinstance(word, int):
            yield from (word + 100, -word, f"{word}")
        else:
            yield from (wrong for wrong in (word.upper(), word.title(), f"{word}x", "", f" {word}") if wrong != word)
    said = node.get("x-values", "")
    if said:
        yield from () if "CPU" in said else _BAD_QUANTITIES
    if "CPU numbers" in said:
        yield from ("x", "3-1", "-1", "1,1", "0-256", "1-2-3", "1;2", "0-")
    elif "a time" in said:
        yield from _BAD_TIMES
    elif "a size" in said:
        yield from _BAD_SIZES
    elif "a bandwidth" in said:
        yield from _BAD_BANDWIDTHS
    if kind in ("integer", "number") and "enum" not in node:
        if "minimum" in node:
            yield node["minimum"] - 1
        if "exclusiveMinimum" in node:
            yield node["exclusiveMinimum"]
        yield node["maximum"] + 1 if "maximum" in node else node["exclusiveMaximum"]
        yield -(10**30)
        yield 10**30
    if "pattern" in node:
        yield from ("", "x", "0x", "40000000", "NUMACTL:x", "numactl:")
    if "minLength" in node:
        yield ""
    if "maxLength" in node:
        yield "x" * (node["maxLength"] + 1)
    if "minItems" in node:
        yield []


def _refused(arguments: list[str], file: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command line; return its message after checking what every message must be."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert ended.value.code == 2, f"accepted, or failed otherwise: {err}"
    assert err.startswith("numa-sim: error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert str(file) in err
    assert out == ""
    return err


_SHORT = {("run", "timeline")}
"""Tables that may be written as true or false."""


@pytest.mark.parametrize("place", PLACES, ids=PLACE_IDS)
def test_every_wrong_value_is_refused(
    place: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, path = PLACES[place]
    document = documents.DOCUMENTS[name]
    node = node_at(path, document)
    assert node is not None, f"the schema does not know {path}"
    values = [value for value in _bad_values(node) if not (isinstance(value, bool) and path in _SHORT)]
    assert len(values) >= 4
    for value in values:
        changed = documents.changed(document, path, value)
        with pytest.raises(ConfigError) as refused:
            topology_of(build(changed, "file.toml", tmp_path))
        message = str(refused.value)
        assert message.startswith("file.toml: ")
        assert dotted(path) in message, (value, message)
        assert "(allowed: " in message, (value, message)
        assert "\n" not in message
    file = documents.write(tmp_path, documents.changed(document, path, values[0]))
    assert dotted(path) in _refused(["run", str(file)], file, capsys)


@pytest.mark.parametrize("place", PLACES, ids=PLACE_IDS)
def test_every_wrong_key_is_refused(place: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, path = PLACES[place]
    document = documents.DOCUMENTS[name]
    key = str(path[-1])
    value = node = document
    for part in path:
        value, node = value[part], value  # type: ignore[call-overload, index]
    for wrong in ("zzz", key.upper(), f"{key}s", f"{key}_"):
        if wrong in node:
            continue
        with pytest.raises(ConfigError) as refused:
            build(documents.changed(document, (*path[:-1], wrong), value), "file.toml", tmp_path)
        message = str(refused.value)
        assert f"{dotted((*path[:-1], wrong))}: unknown key" in message
        allowed = message.split("(allowed: ")[1]
        assert key in allowed
        if wrong != "zzz":
            assert "did you mean" in message


def test_missing_keys_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = 0
    for (section, field), (name, path) in PLACES.items():
        models = {model.__name__: model for model in sections(Config)}
        if not models[section].model_fields[field].is_required():
            continue
        file = documents.write(tmp_path, documents.changed(documents.DOCUMENTS[name], path, drop=True))
        message = _refused(["run", str(file)], file, capsys)
        assert f"{dotted(path)}: missing" in message
        missing += 1
    assert missing > 20


def test_all_fields_are_covered() -> None:
    every = {(model.__name__, field) for model in sections(Config) for field in model.model_fields}
    assert every == set(PLACES)


CROSS_CHECKS = [
    (
        "inline",
        {("workload", 0, "program", 24): {"op": "access", "at": "0x1fff", "pages": 3}},
        "workload.0.program.24.at",
    ),
    ("inline", {("workload", 1, "name"): "other"}, "workload.0.program.31.task"),
    (
        "inline",
        {("workload", 0, "program", 29): {"op": "signal", "signal": "SIGTERM"}},
        "workload.0.program.29",
    ),
    ("inline", {("machine", "preset"): "xeon-platinum-8163-2s"}, "machine"),
    ("preset", {("machine", "preset"): "xeon-platinum-8163"}, "machine.preset"),
    ("preset", {("machine", "links"): []}, "machine.links"),
    (
        "preset",
        {("machine", "memory"): {"model": "curve"}, ("machine", "preset"): "opteron-6276-4s"},
        "machine.memory.model",
    ),
    ("inline", {("machine", "tlb", "entries"): 96}, "machine.tlb.entries"),
    ("inline", {("machine", "distances"): [[10, 21]]}, "machine"),
    ("inline", {("machine", "distances", 0, 0): 11}, "machine"),
    ("inline", {("machine", "bandwidth"): ["1GB/s"]}, "machine"),
    ("inline", {("machine", "nodes", 0, "memory"): "5000B"}, "machine.nodes.0.memory"),
    ("inline", {("machine", "nodes", 1, "cpus"): "1-2"}, "machine"),
    ("inline", {("machine", "swap", 1, "name"): "a"}, "machine.swap.0.name"),
    ("inline", {("machine", "swap", 4, "disk"): "sdz"}, "machine.swap.4.disk"),
    ("inline", {("machine", "swap", 4, "size"): "5GiB"}, "machine.swap.4.size"),
    ("inline", {("machine", "swap", 0, "name"): "sda"}, "machine.swap.0.name"),
    ("inline", {("machine", "disk", 1, "name"): "sda"}, "machine.disk.0.name"),
    ("inline", {("machine", "file", 0, "disk"): "sdz"}, "machine.file.0.disk"),
    ("inline", {("machine", "file", 0, "disk"): "zram0"}, "machine.file.0.disk"),
    ("inline", {("machine", "file", 0, "size"): "4GiB"}, "machine.file.0.size"),
    ("inline", {("machine", "file", 0, "room"): "3GiB"}, "machine.file.0.size"),
    ("inline", {("machine", "file", 0, "size"): "8KiB"}, "machine.file.0.holes.0.length"),
    ("inline", {("machine", "file", 0, "fragments"): 1 << 19}, "machine.file.0.fragments"),
    ("inline", {("machine", "file", 0, "holes", 0, "offset"): "5kB"}, "machine.file.0.holes.0.offset"),
    ("preset", {("machine", "file"): [{"name": "a", "size": "1MiB", "disk": "sda"}]}, "machine.file.0.disk"),
    ("inline", {("workload", 0, "cpus"): "0-4"}, "workload.0.cpus"),
    ("inline", {("workload", 0, "program", 26, "cpus"): "0-4"}, "workload.0.program.26.cpus"),
    ("inline", {("workload", 0, "program", 26, "cpus"): ""}, "workload.0.program.26.cpus"),
    (
        "inline",
        {("workload", 0, "program", 10, "program"): [{"op": "fork", "cpus": "64"}]},
        "workload.0.program.10.program.0.cpus",
    ),
    ("inline", {("workload", 1, "name"): "program"}, "workload.1.name"),
    ("inline", {("workload", 0, "count"): 4096}, "workload.1.count"),
    ("inline", {("workload", 1, "trace", "file"): "none.npz"}, "workload.1.trace.file"),
    ("from", {("machine", "from"): "numactl:none.txt"}, "machine.from"),
    ("from", {("machine", "from"): "hwloc:machine.txt"}, "machine.from"),
    ("inline", {("workload", 0, "program", 1, "on"): "heep"}, "workload.0.program.1.on"),
    ("inline", {("workload", 0, "program", 1, "offset"): "64MiB"}, "workload.0.program.1.offset"),
    ("inline", {("workload", 0, "program", 1, "length"): "64MiB"}, "workload.0.program.1.length"),
    (
        "inline",
        {("workload", 0, "program", 10, "program"): [{"op": "mmap", "as": "b", "size": "1MiB"}]},
        "workload.0.program.10.program.0.as",
    ),
    ("inline", {("workload", 0, "program", 12, "file"): "none"}, "workload.0.program.12.file"),
    ("inline", {("workload", 0, "program", 13, "on"): "df"}, "workload.0.program.13.on"),
    ("inline", {("workload", 0, "program", 13, "count"): 5}, "workload.0.program.13.count"),
    ("inline", {("workload", 0, "program", 14, "offset"): "4KiB"}, "workload.0.program.14.offset"),
    ("inline", {("workload", 0, "program", 15, "file"): "df"}, "workload.0.program.15.file"),
    ("inline", {("workload", 0, "program", 15, "offset"): "5kB"}, "workload.0.program.15.offset"),
    ("inline", {("workload", 0, "program", 16, "on"): "none"}, "workload.0.program.16.on"),
    ("inline", {("machine", "file", 0, "name"): "other"}, "workload.0.program.12.file"),
    ("preset", {("workload",): []}, "workload"),
    ("inline", {("kernel", "sysctl", "vm.vm_passes"): {}}, "kernel.sysctl.vm.vm_passes"),
    ("inline", {("kernel", "sysctl", "vm"): {"vm_passes": 3}}, "kernel.sysctl.vm.vm_passes"),
]


@pytest.mark.parametrize(("name", "changes", "path"), CROSS_CHECKS)
def test_values_that_do_not_fit_together(
    name: str, changes: dict[Any, Any], path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = documents.DOCUMENTS[name]
    for place, value in changes.items():
        document = documents.changed(document, place, value)
    file = documents.write(tmp_path, document)
    message = _refused(["run", str(file)], file, capsys)
    assert f": {path}" in message


@pytest.mark.parametrize(
    ("file_name", "content", "said"),
    [
        ("a.toml", b"a = [1,", "is not TOML"),
        ("a.toml", b"a = 1\na = 2\n", "is not TOML"),
        ("a.toml", b"a = '\xff'", "line 1: is not UTF-8"),
        ("a.toml", b"x = " + b"[" * 100_000, "is not TOML"),
        ("a.json", b"{", "is not JSON"),
        ("a.json", b'{"a": NaN}', "is not JSON"),
        ("a.json", b'{"run": {"seed": 1, "seed": 2}}', "twice"),
        ("a.json", b"[]", "must hold a table"),
        ("a.json", b"[" * 100_000, "is not JSON"),
        ("a.json", b'{"a": ' + b"9" * 5000 + b"}", "is not JSON"),
        ("a.yaml", b"a: 1", "*.toml, *.json"),
        ("a.toml", b"", "machine: missing"),
        ("a.toml", b"[kernel.sysctl]\nvm.vm_passes = 1\n'vm.vm_passes' = 2\n", "set twice"),
    ],
)
def test_files_that_hold_no_configuration(
    file_name: str, content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / file_name
    file.write_bytes(content)
    assert said in _refused(["run", str(file)], file, capsys)


@pytest.mark.parametrize(
    ("machine", "profile", "said"),
    [
        ('preset = "xeon-platinum-8163-2s"\nmemory_per_node = "40GiB"', "2.4.37", "memory_per_node: i386 without PAE"),
        ('nodes = [{ memory = "1GiB", cpus = "0" }]\ndistances = [[10]]', "2.2", "nodes: linux-2.2 on i386 uses"),
        ('nodes = [{ memory = "1MiB", cpus = "0" }]\ndistances = [[10]]', "2.4.37", "nodes: node 0: 1024 KiB is too"),
    ],
)
def test_memory_that_the_machine_cannot_use_is_an_error_of_the_configuration(
    machine: str, profile: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "big.toml"
    kernel = (
        f'[kernel]\nprofile = "linux-{profile}"\n[[workload]]\nname = "a"\nprogram = [{{ op = "compute", for = 1 }}]'
    )
    file.write_text(f'[machine]\narch = "i386"\n{machine}\n{kernel}'.replace("for = 1 ", 'for = "1ns" '))
    assert f"machine.{said}" in _refused(["run", str(file)], file, capsys)


def test_files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    absent = tmp_path / "absent.toml"
    assert "cannot be read" in _refused(["run", str(absent)], absent, capsys)
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    assert "cannot be read" in _refused(["show", "config", str(folder)], folder, capsys)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("run.seed", "is not a setting"),
        ("=3", "is not a setting"),
        ("run..seed=3", "is not a setting"),
        ("run.sed=3", "did you mean 'seed'?"),
        ("run.seed=x", "an integer"),
        ("machine.preset.deep=3", "not a table"),
        ("workload.9.count=1", "no such position"),
        ("workload.x.count=1", "no such position"),
        ("kernel.sysctl.vm.vm_passes=0", "kernel.sysctl.vm.vm_passes"),
        ("machine.preset=3", "machine.preset"),
        ("kernel={}\nrun={}", "kernel"),
    ],
)
def test_bad_overrides_name_themselves(
    setting: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = documents.write(tmp_path, documents.PRESET)
    with pytest.raises(SystemExit) as ended:
        main(["run", str(file), "--set", setting])
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert err.count("\n") == 1
    assert said in err
    assert "--set" in err


def test_as_a_process(tmp_path: Path) -> None:
    file = documents.write(tmp_path, documents.changed(documents.PRESET, ("run",), {"seed": "seven"}))
    for arguments in (["run", str(file)], ["show", "zoneinfo", str(file)], ["run", str(file), "--seed", "-1"]):
        done = subprocess.run(
            [sys.executable, "-m", "numa_sim", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert f"numa-sim: error: {file}" in done.stderr
        assert "run.seed" in done.stderr
        assert done.stdout == ""


_SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=12)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(sorted(PLACES)), value=_VALUES)
def test_anything_anywhere_is_accepted_or_explained(tmp_path: Path, place: tuple[str, str], value: Any) -> None:
    name, path = PLACES[place]
    file = documents.write(tmp_path, documents.changed(documents.DOCUMENTS[name], path, value))
    said = ""
    try:
        config = load(file)
    except ConfigError as error:  # any other error fails the test
        said = str(error)
    assert said.startswith(f"{file}: ") or load(documents.write(tmp_path, config.resolved())).sha256 == config.sha256


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(str.encode), suffix=st.sampled_from(["toml", "json"]))
def test_any_bytes_are_explained(tmp_path: Path, data: bytes, suffix: str) -> None:
    file = tmp_path / f"a.{suffix}"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match="a\\."):
        load(file)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("manifest.json", "numa-sim reproduce {folder}"),
        ("sweep.json", "numa-sim sweep status {folder}"),
        ("thesis.txt", "Is a directory"),
    ],
)
def test_a_folder_where_a_configuration_belongs_names_the_command_for_it(tmp_path: Path, held: str, said: str) -> None:
    (tmp_path / held).write_text("")
    with pytest.raises(ConfigError, match="cannot be read: ") as found:
        load(tmp_path)
    assert said.format(folder=tmp_path) in str(found.value)


def test_the_documents_themselves_are_right(tmp_path: Path) -> None:
    for document in documents.DOCUMENTS.values():
        config = load(documents.write(tmp_path, document))
        again = load(documents.write(tmp_path, config.resolved()))
        assert again.sha256 == config.sha256
        assert json.loads(json.dumps(config.resolved())) == config.resolved()
