"""What is kept of a run while it goes on, and what is handed on at its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from numa_sim.observe import procfs
from numa_sim.observe.result import Disk, RunResult, Snapshot, TaskRow
from numa_sim.observe.sampler import TimeSeries
from numa_sim.processes.access_watch import AccessWatch
from numa_sim.processes.watched import process_texts

if TYPE_CHECKING:
    from numa_sim.processes.machine import Machine
    from numa_sim.processes.runnable import Steps

Progress = Callable[["Machine"], None]


class Recording:
    """Time series, /proc texts and access map of a run; none of it changes the run.

    Parameters
    ----------
    machine : Machine
        Just booted; with `RunConfig.observe` it is watched from now on.
    policy : str, optional
        Name of a policy that was given as an object, which the configuration does not know.
    """

    def __init__(self, machine: Machine, policy: str | None) -> None:
        run = machine.config.run
        self._machine = machine
        self._policy = policy
        self._drives = machine.config.machine.placing().drives
        self._started_s, self._started_unix_s = time.perf_counter(), time.time()
        self._snapshots: list[Snapshot] = []
        self.timeseries = TimeSeries(machine.kernel, disks=len(self._drives), buddy="buddy" in run.observe)
        self.access_watch: AccessWatch | None = None
        if "access_map" in run.observe:
            self.access_watch = AccessWatch(machine, run.access_map)
            machine.process(self.access_watch.watch())

    def begin(self, progress: Progress | None) -> None:
        """The run begins now: take the first sample, and go on at the configured intervals."""
        machine = self._machine
        self._started_s, self._started_unix_s = time.perf_counter(), time.time()
        self.timeseries.sample(machine.now_ns)
        machine.process(self._sample(progress))
        if machine.config.run.snapshot is not None:
            machine.process(self._snapshot(int(machine.config.run.snapshot)))

    def _sample(self, progress: Progress | None) -> Steps:
        machine = self._machine
        while True:
            yield machine.timeout(int(machine.config.run.sample))
            machine.block.settle()
            self.timeseries.sample(machine.now_ns)
            machine.check()
            if progress is not None:
                progress(machine)

    def _snapshot(self, interval_ns: int) -> Steps:
        machine = self._machine
        while True:
            yield machine.timeout(interval_ns)
            texts = procfs.texts(machine.kernel, machine.swap.names_by_index())
            self._snapshots.append(Snapshot(machine.now_ns, texts | process_texts(machine)))

    def end(self) -> None:
        """The run has ended: take the last sample."""
        self._machine.block.settle()
        self.timeseries.sample(self._machine.now_ns)
        if self.access_watch is not None:
            self.access_watch.finish()

    def result(self) -> RunResult:
        """What is handed on."""
        machine, config = self._machine, self._machine.config
        killed = any(task.outcome == "out of memory" for task in machine.tasks)
        all_ended = not any(task.process.is_alive for task in machine.tasks)
        return RunResult(
            config=config.resolved(),
            config_sha256=config.sha256,
            seed=machine.seed,
            kernel=machine.kernel,
            tasks=tuple(TaskRow(task.name, task.index, task.kind) for task in machine.tasks),
            timeseries=self.timeseries,
            end_ns=machine.now_ns,
            exit_state="oom" if killed else "ok" if all_ended else "until",
            machine_name=machine.topology.name,
            swap_areas=machine.swap.described(),
            disks=tuple(Disk(drive.name, drive.model.device) for drive in self._drives),
            warnings=tuple(machine.warnings),
            inputs=tuple(machine.inputs),
            wall_seconds=time.perf_counter() - self._started_s,
            check_level=config.run.check,
            snapshots=tuple(self._snapshots),
            cores=tuple(machine.cores),
            access_map=self.access_watch.map if self.access_watch is not None else None,
            timeline=None if machine.timeline is None else machine.timeline.finish(),
            topology=machine.topology,
            beyond_config=self._beyond_config(),
            base=config.base,
            started_unix_s=self._started_unix_s,
        )

    def _beyond_config(self) -> tuple[str, ...]:
        """What this run has that its configuration does not say: nobody can repeat it from that alone."""
        machine = self._machine
        configured = sum(workload.count for workload in machine.config.workload)
        added = [task.name for task in machine.tasks if task.kind != "child"][configured:]
        programs = tuple(f"program of task {name}" for name in added)
        return programs if self._policy is None else (*programs, f"policy {self._policy}")
