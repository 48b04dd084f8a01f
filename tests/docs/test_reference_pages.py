"""The generated reference pages name everything there is, and refuse what nobody has explained."""

import copy
import re

import pytest

import numa_sim
from numa_sim.config.schema import json_schema
from numa_sim.state.counters import TIME_PARTS, VMSTAT
from numa_sim.state.event_codes import EVENTS
from reference_pages import all_pages, configuration, names, write_pages


@pytest.fixture(scope="module")
def pages():
    return all_pages()


def test_every_table_and_key_of_the_schema_is_on_a_page(pages):
    text = "".join(page for name, page in pages.items() if name.startswith("config-"))
    keys = re.findall(r"^`([^`]+)` ---", text, re.MULTILINE)
    for name, table in json_schema()["$defs"].items():
        for key, node in table["properties"].items():
            assert "const" in node or key in keys, f"{name}.{key}"
            assert "const" not in node or f'`{key} = "{node["const"]}"`' in text, f"{name}.{key}"


def test_keys_outside_of_all_tables_stand_on_the_first_page(pages):
    assert "`format_version` --- an integer, 1 to 1, default `1`\n: Version of this file's keys; " in pages["config.md"]
    assert "config-format_version.md" not in pages


def test_keys_show_unit_range_default_and_need(pages):
    assert (
        '`sample` --- time, 1us to 3600000s, default `"10ms"`\n: Interval of the time series.' in pages["config-run.md"]
    )
    assert "`memory` --- **required**, size, 0B to 64TiB\n: Memory of the node" in pages["config-machine.md"]
    assert '`arch` --- `"x86-64"` or `"i386"`, default `"x86-64"`' in pages["config-machine.md"]


@pytest.fixture
def schema(monkeypatch):
    """A copy of the schema, which the pages are made from; the program's own stays as it is for other tests."""
    copied = copy.deepcopy(json_schema())
    monkeypatch.setattr(configuration, "json_schema", lambda: copied)
    return copied


@pytest.mark.parametrize(("table", "key"), [("Run", "seed"), ("Touch", "write"), ("Costs", "line")])
def test_a_key_without_a_description_stops_the_build(schema, table, key):
    del schema["$defs"][table]["properties"][key]["description"]
    with pytest.raises(ValueError, match=key):
        configuration.config_pages()


def test_a_table_without_a_description_stops_the_build(schema):
    del schema["$defs"]["Tlb"]["description"]
    with pytest.raises(ValueError, match="Tlb"):
        configuration.config_pages()


def test_every_counter_part_and_event_is_explained(pages):
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", pages["names.md"], re.MULTILINE)
    assert [name for name, _ in rows] == [*VMSTAT, *TIME_PARTS, *EVENTS[1:]]
    assert all(len(text) > 5 for _, text in rows)


def test_a_counter_nobody_explains_stops_the_build(monkeypatch):
    monkeypatch.setattr(names, "VMSTAT", (*VMSTAT, "pgnew"))
    with pytest.raises(ValueError, match="pgnew"):
        names.names_pages()


def test_every_public_name_and_command_has_an_entry(pages):
    from typer.main import get_command

    from numa_sim.cli.app import app

    named = set(re.findall(r"^\.\. auto\w+:: numa_sim\.(\w+)$", pages["api.md"], re.MULTILINE))
    assert named == set(numa_sim.__all__) - {"__version__", "KiB", "MiB", "GiB", "TiB"}
    headings = re.findall(r"^## `(numa-sim[^`]*)`$", pages["cli.md"], re.MULTILINE)
    assert {f"numa-sim {name}" for name in get_command(app).commands} < set(headings)
    assert "numa-sim trace import" in headings


def test_pages_that_are_gone_are_removed_and_equal_ones_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("reference_pages.all_pages", lambda: {"a.md": "A"})
    (tmp_path / "old.md").write_text("old")
    write_pages(tmp_path)
    stamp = (tmp_path / "a.md").stat().st_mtime_ns
    write_pages(tmp_path)
    assert [page.name for page in tmp_path.iterdir()] == ["a.md"]
    assert (tmp_path / "a.md").stat().st_mtime_ns == stamp
