"""Each kernel takes its own knobs and refuses those it does not have, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from config.documents import PRESET

from numa_sim.config.kernel import FOREIGN_KNOBS
from numa_sim.config.model import Config
from numa_sim.config.reader import build
from numa_sim.errors import ConfigError
from numa_sim.kernel import profiles

VALUES: dict[str, Any] = {
    "lower_zone_reserve_ratio": [256, 32],
    "vm_passes": 60,
    "vm_cache_scan_ratio": 6,
    "vm_mapped_ratio": 100,
    "vm_lru_balance_ratio": 2,
    "vm_vfs_scan_ratio": 6,
    "vm_anon_lru": 0,
    "nfract_stop": 20,
    "max_map_count": 65536,
    "nfract_sync": 60,
    "memfrac": [128, 128, 128],
    "numa_fallback": "strict24",
}


def document(profile: str, table: str = "", key: str = "", value: Any = None) -> dict[str, Any]:
    kernel: dict[str, Any] = {"profile": profile}
    if key:
        (kernel.setdefault(table, {}) if table else kernel)[key] = value
    return {**PRESET, "kernel": kernel}


def key_of(table: str, name: str) -> str:
    return f"vm.{name}" if table == "sysctl" else name


def test_every_profile_can_be_configured() -> None:
    assert set(FOREIGN_KNOBS) == set(profiles.names())
    for profile in profiles.names():
        assert build(document(profile), "file.toml", Path()).kernel.profile == profile


@pytest.mark.parametrize("profile", FOREIGN_KNOBS)
def test_foreign_knobs_are_refused_even_with_their_defaults(profile: str) -> None:
    for table, name in FOREIGN_KNOBS[profile]:
        key, value = key_of(table, name), VALUES.get(name, True)
        path = f"kernel.{table}.{key}" if table else f"kernel.{key}"
        with pytest.raises(ConfigError) as refused:
            build(document(profile, table, key, value), "file.toml", Path())
        message = str(refused.value)
        assert path.replace("sysctl.vm", "sysctl") in message.replace('"', "").replace("sysctl.vm", "sysctl"), message
        assert f"{profile} has no such knob" in message
        assert "(allowed: remove it)" in message
        owner = next(other for other in FOREIGN_KNOBS if (table, name) not in FOREIGN_KNOBS[other])
        build(document(owner, table, key, value), "file.toml", Path())


@pytest.mark.parametrize("profile", ["linux-2.2", "linux-2.4.0"])
def test_policies_do_not_stand_in_for_the_reclaim_of_old_kernels(profile: str) -> None:
    with pytest.raises(ConfigError, match=r"kernel\.reclaim.*late 2\.4"):
        build(document(profile, "", "reclaim", "lru"), "file.toml", Path())


@pytest.mark.parametrize("profile", FOREIGN_KNOBS)
def test_what_is_resolved_can_be_read_again(profile: str) -> None:
    config = Config.model_validate(document(profile))
    again = Config.model_validate(config.resolved())
    assert again.resolved() == config.resolved()
    assert again.sha256 == config.sha256
    assert ("vm_passes" in again.kernel.sysctl.model_fields_set) == (profile == "linux-2.4.37")
