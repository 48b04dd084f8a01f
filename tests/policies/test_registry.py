"""Policies by name, class, object and entry point; small as promised."""

from __future__ import annotations

import inspect
import re
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from numa_sim.errors import ConfigError, PolicyError
from numa_sim.policies import Policy, find, names, register, registry
from numa_sim.policies.lru import Lru

BUILT_IN = ("none", "immediate", "lru", "fifo", "clock", "staging", "dirty-clean", "whole-process")


@pytest.fixture
def own_registry(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(registry, "_POLICIES", dict(registry._POLICIES))
    registry._register_installed.cache_clear()
    yield registry
    registry._register_installed.cache_clear()


def _offer(monkeypatch: pytest.MonkeyPatch, name: str, value: Any) -> None:
    module = SimpleNamespace(Offered=value)
    point = EntryPoint(name, "offering:Offered", registry.ENTRY_POINTS)
    monkeypatch.setitem(__import__("sys").modules, "offering", module)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == "numa_sim.policies" else [])


def test_all_built_in_policies_are_known_by_their_names() -> None:
    assert names()[: len(BUILT_IN)] == BUILT_IN
    for name in BUILT_IN:
        assert find(name).name == name


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_policy_is_small(name: str) -> None:
    lines = [line for line in inspect.getsource(type(find(name))).splitlines() if line.strip()]
    assert len(lines) <= (40 if name != "whole-process" else 60)


def test_a_policy_may_be_given_as_class_or_object() -> None:
    policy = Lru()
    assert find(policy) is policy
    assert type(find(Lru)) is Lru


def test_an_unknown_name_lists_near_matches_and_all_names() -> None:
    with pytest.raises(ConfigError, match=r"unknown replacement policy 'clok'; did you mean 'clock'\? \(allowed: none"):
        find("clok")
    with pytest.raises(ConfigError, match="is no replacement policy"):
        find(7)  # type: ignore[arg-type]


def test_registering_twice_is_an_error(own_registry: Any) -> None:
    class Mine(Lru):
        name = "mine"

    assert register(Mine) is Mine
    assert type(find("mine")) is Mine
    for policy in (Mine, Lru):
        with pytest.raises(PolicyError, match="is registered already"):
            register(policy)


def test_the_documented_policy_works_and_is_as_short_as_promised(own_registry: Any) -> None:
    page = (Path(__file__).parents[2] / "docs" / "model" / "policies.md").read_text()
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "class LastIn" in block)
    exec(example, {"__name__": "example"})
    assert find("last-in").name == "last-in"
    body = example[example.index("class") : example.index("check_policy(")]
    assert len([line for line in body.splitlines() if line.strip()]) <= 20


def test_a_policy_needs_a_name(own_registry: Any) -> None:
    class Nameless(Lru):
        name = ""

    with pytest.raises(PolicyError, match="has no name"):
        register(Nameless)


def test_an_installed_package_can_offer_policies(own_registry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(Lru):
        name = "theirs"

    _offer(monkeypatch, "theirs", Theirs)
    assert type(find("theirs")) is Theirs
    assert "theirs" in names()


@pytest.mark.parametrize("offered", [int, "text", type("Other", (Lru,), {"name": "other"})])
def test_a_bad_offer_is_named(own_registry: Any, monkeypatch: pytest.MonkeyPatch, offered: Any) -> None:
    _offer(monkeypatch, "theirs", offered)
    with pytest.raises(PolicyError, match=r"policy 'theirs': entry point offering:Offered is no policy class"):
        find("theirs")


def test_an_offer_that_cannot_be_imported_is_named(own_registry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("theirs", "no_such_module:Theirs", registry.ENTRY_POINTS)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    with pytest.raises(PolicyError, match=r"entry point no_such_module:Theirs cannot be loaded: ModuleNotFoundError"):
        names()


def test_a_policy_needs_its_three_methods() -> None:
    with pytest.raises(TypeError, match="abstract"):
        type("Half", (Policy,), {})()
