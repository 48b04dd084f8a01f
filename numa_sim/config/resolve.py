"""From the ``[machine]`` table to the machine it names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from numa_sim.config.machine import MAX_NODES, Machine
from numa_sim.config.model import Config, policies_of
from numa_sim.config.quantities import MAX_CPUS
from numa_sim.errors import ConfigError, TopologyError
from numa_sim.topology import Link, Node, Topology, build_topology, load, preset, preset_names
from numa_sim.topology.cpulist import format_list


def topology_of(config: Config) -> Topology:
    """Nodes, CPUs, distances, latencies and links of the machine `config` names, scaled as it says.

    Raises
    ------
    ConfigError
        An unknown preset, a machine that cannot exist, a curve model without a measured curve, or a workload, or
        a child in it, on a CPU or with a memory policy of nodes that the machine does not have.
    """
    machine, origin = config.machine, config.origin
    topology = _named(machine, config)
    if machine.memory_per_node is not None or machine.cpus_per_node is not None:
        try:
            topology = topology.scaled(
                memory_per_node_bytes=machine.memory_per_node, cpus_per_node=machine.cpus_per_node
            )
        except TopologyError as problem:
            raise ConfigError(origin, "machine", f"cannot be scaled: {problem.message}") from None
    if machine.memory.bandwidth is not None:
        per_node = (machine.memory.bandwidth,) * len(topology)
        topology = replace(topology, bandwidth=per_node, bandwidth_source="configuration")
    _check_size(config, topology)
    if machine.memory.model == "curve" and not any(topology.curves):
        message = f"machine {topology.name!r} has no measured curve"
        raise ConfigError(origin, "machine.memory.model", message, ("queue", "none"))
    for index, workload in enumerate(config.workload):
        for path, cpus in _cpu_lists(workload, f"workload.{index}"):
            if cpus[-1] >= topology.cpu_count:
                message = f"the machine has no CPU {cpus[-1]}"
                raise ConfigError(origin, f"{path}.cpus", message, (f"CPUs 0 to {topology.cpu_count - 1}",))
    _check_policies(config, topology)
    return topology


def _cpu_lists(part: Any, path: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The CPUs that a workload or operation at `path` names, and all those of the programs in it."""
    if getattr(part, "cpus", None):
        yield path, part.cpus
    for index, operation in enumerate(getattr(part, "program", None) or ()):
        yield from _cpu_lists(operation, f"{path}.program.{index}")


def _check_policies(config: Config, topology: Topology) -> None:
    """Refuse memory policies of nodes that are not there or have no memory (EINVAL, were the run begun)."""
    with_memory = tuple(node.id for node in topology.nodes if node.memory_bytes)
    for path, policy in policies_of(config):
        wrong = [node for node in policy.nodes if node >= len(topology)]
        if wrong:
            message = f"the machine has no node {wrong[0]}"
            raise ConfigError(config.origin, f"{path}.nodes", message, (f"nodes 0 to {len(topology) - 1}",))
        if policy.nodes and not set(policy.nodes) & set(with_memory):
            message = f"no node of {format_list(policy.nodes)} has memory"
            raise ConfigError(config.origin, f"{path}.nodes", message, (f"nodes {format_list(with_memory)}",))


def _named(machine: Machine, config: Config) -> Topology:
    """Topology before scaling, whichever way it is named."""
    try:
        if machine.preset is not None:
            if machine.preset not in preset_names():
                raise _unknown_preset(machine.preset, config.origin)
            return preset(machine.preset)
        if machine.from_ is not None:
            return load(machine.from_, config.base)
        return _inline(machine, config.origin)
    except TopologyError as problem:
        if machine.nodes is not None:
            message = f"{problem.where}: {problem.message}" if problem.where else problem.message
            raise ConfigError(config.origin, "machine", message) from None
        where = "machine.preset" if machine.preset is not None else "machine.from"
        raise ConfigError(config.origin, where, str(problem)) from None


def _unknown_preset(name: str, origin: str) -> ConfigError:
    from numa_sim.config.explain import near

    names = preset_names()
    return ConfigError(origin, "machine.preset", f"there is no preset {name!r}{near(name, names)}", names)


def _inline(machine: Machine, origin: str) -> Topology:
    """Topology of a machine written out in the configuration."""
    nodes = [Node(index, node.memory, node.cpus) for index, node in enumerate(machine.nodes or ())]
    links = machine.links
    return build_topology(
        "inline",
        origin,
        nodes,
        machine.distances or (),
        latency_ns=machine.latency_ns,
        bandwidth=machine.bandwidth,
        links=None
        if links is None
        else [Link(min(k.a, k.b), max(k.a, k.b), k.bandwidth, k.name or f"link{k.a}-{k.b}") for k in links],
    )


def _check_size(config: Config, topology: Topology) -> None:
    """Refuse a machine larger than the simulator's own limits."""
    if len(topology) > MAX_NODES:
        raise ConfigError(config.origin, "machine", f"{len(topology)} nodes are too many", (f"1 to {MAX_NODES} nodes",))
    if topology.cpu_count > MAX_CPUS:
        message = f"{topology.cpu_count} CPUs are too many; cpus_per_node keeps some of each node"
        raise ConfigError(config.origin, "machine.cpus_per_node", message, (f"1 to {MAX_CPUS} CPUs in all",))
