"""The machine: a SimPy environment whose hardware runs between events.

``step()`` first lets the compiled access loop run up to the next event's time, then processes that event.  A CPU that
needs the kernel stops the loop, and its task's process resumes at exactly that instant.  So shared state is touched in
exact time order, and SimPy pays only for what sleeps or decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

import simpy

from numa_sim.compiled import entry
from numa_sim.config.budget import Budget
from numa_sim.config.model import Config
from numa_sim.config.resolve import topology_of
from numa_sim.errors import InvariantViolation, SimulationError
from numa_sim.hardware.loop import HORIZON, KICK, run_hardware
from numa_sim.kernel.buddy import check_bug
from numa_sim.kernel.coredump import CoreDump
from numa_sim.kernel.debug_problems import PROBLEMS
from numa_sim.kernel.debug_vm import check_frames, check_zones
from numa_sim.kernel.locks import check_lock_order
from numa_sim.kernel.page_io import end_page, end_request
from numa_sim.observe import proc_pid, procfs
from numa_sim.observe.result import InputFile, RunResult
from numa_sim.policies import Policy
from numa_sim.policies.registry import of_config
from numa_sim.processes import build
from numa_sim.processes.block import BlockLayer
from numa_sim.processes.collector import set_aside
from numa_sim.processes.cpu import Cpu, cpu_for_daemon
from numa_sim.processes.flushing import Bdflush, Kupdate
from numa_sim.processes.generation.choose import bdflush_of, generation_of
from numa_sim.processes.generation.generation import Generation
from numa_sim.processes.mmap_sem import MmapSems
from numa_sim.processes.mount import make_files
from numa_sim.processes.page_waits import PageWaits
from numa_sim.processes.policy_reclaim import KernelReclaim, PolicyReclaim, Reclaim
from numa_sim.processes.recording import Recording
from numa_sim.processes.runnable import Runnable
from numa_sim.processes.shown import machine_html
from numa_sim.processes.signal import Signal
from numa_sim.processes.swap_areas import SwapAreas
from numa_sim.processes.task import TaskProcess
from numa_sim.processes.task_rows import TaskRows, begin_as
from numa_sim.processes.timeline import MachineTimeline
from numa_sim.processes.watchdog import Watchdog
from numa_sim.processes.watched import process_named
from numa_sim.state.answers import STOP_BUFFER, STOP_SLICE
from numa_sim.state.constants import NIL, PAGE_SIZE, TASK_RUNNING
from numa_sim.state.rows import row
from numa_sim.topology import Topology
from numa_sim.units import format_bytes, format_ns

if TYPE_CHECKING:
    from numa_sim.workloads.mempolicy import MemPolicy

_run_hardware = entry(run_hardware)
_end_page = entry(end_page)
_end_request = entry(end_request)
_check_frames = entry(check_frames)
_check_zones = entry(check_zones)

FIRST_USER_PID = 100
_FOREVER_NS = 1 << 62


class Machine(simpy.Environment):
    """A NUMA machine, booted and ready to run programs.

    Parameters
    ----------
    config : Config
        What to build; its workloads are added at once.
    topology : Topology, optional
        Instead of the one `config` names.
    policy : Policy, optional
        Who chooses the pages to go, instead of what ``[kernel] reclaim`` names.

    Examples
    --------
    >>> from numa_sim import Machine, zipf                                   # doctest: +SKIP
    >>> def hog(task):
    ...     heap = yield task.mmap("3GiB")
    ...     yield task.touch(heap, zipf(0.99), accesses=20_000_000, write=0.3)
    >>> machine = Machine.of(preset="xeon-e5-2680-2s", memory_per_node="1GiB")   # doctest: +SKIP
    >>> machine.add(hog, cpus=[0])                                               # doctest: +SKIP
    >>> result = machine.run_to_end()                                            # doctest: +SKIP
    """

    def __init__(self, config: Config, topology: Topology | None = None, policy: Policy | None = None) -> None:
        super().__init__(initial_time=0)
        self.config = config
        self.seed = int(config.run.seed)
        self.topology = topology if topology is not None else topology_of(config)
        given, policy = policy, policy if policy is not None else of_config(config)
        self.kernel = build.build_kernel(config, self.topology, policy)
        self.file_mappings = make_files(self.kernel, config)
        self.swap = SwapAreas(self.kernel, config, self.file_mappings)
        self.vm = row(self.kernel.vm, 0)
        self.costs = row(self.kernel.costs, 0)
        self.time_slice_ns = int(config.kernel.time_slice)
        self.switches = config.kernel.switches
        self.check_level = config.run.check
        self.rows = TaskRows(self.kernel)
        self.living = 0
        """Tasks that have begun and not ended."""
        self._all_ended = self.event()
        self.tasks: list[TaskProcess] = []
        self.warnings: list[str] = []
        self.inputs: list[InputFile] = [*self.swap.inputs]
        self.cores: list[CoreDump] = []
        self.watchdog: Watchdog | None = None
        self.on_hardware = 0
        self.kmap_waiting: list[Signal] = []
        table = config.run.timeline
        self.timeline = None if table is None else MachineTimeline(self, table)
        waits = PageWaits(self)
        self.page_event = waits.event
        self.is_swap_page = waits.is_swap_page
        drives = config.machine.placing().drives
        self.block = BlockLayer(self, self.kernel, drives, self.switches.plugging, waits.end_io)
        self.mmap_sems = MmapSems(self)
        self.cpus = [Cpu(self, number) for number in range(len(self.kernel.cpus))]
        self.reclaim: Reclaim = KernelReclaim(self.kernel)
        in_background = True
        if policy is not None:
            self.reclaim = PolicyReclaim(self.kernel, policy, config.kernel.reclaim_ahead // PAGE_SIZE, self.seed)
            in_background = policy.in_background
        self.generation: Generation = generation_of(self, in_background)
        self.bdflush: Bdflush = bdflush_of(self)
        self.kupdate = Kupdate(self, enabled=self.switches.kupdate and bool(config.machine.file))
        self._recording = Recording(self, None if given is None else given.name)
        self.access_watch = self._recording.access_watch
        build.add_workloads(self, config)

    @classmethod
    def of(cls, **machine: Any) -> Machine:
        """A machine from the keys of the ``[machine]`` table (``preset=...``, ``memory_per_node=...``, ``swap=[...]``).

        ``kernel``, ``costs`` and ``run`` are taken as the tables of those names; ``policy`` is as for `Machine`.
        """
        policy = machine.pop("policy", None)
        tables = {name: machine.pop(name) for name in ("kernel", "costs", "run") if name in machine}
        return cls(Config.of(machine=machine, **tables), policy=policy)

    def __repr__(self) -> str:
        topology = self.topology
        memory = format_bytes(sum(node.memory_bytes for node in topology.nodes))
        return (
            f"<Machine {topology.name}: {len(topology)} nodes, {len(self.cpus)} CPUs, {memory}, "
            f"{len(self.tasks)} tasks, at {format_ns(self.now_ns)}>"
        )

    def _repr_html_(self) -> str:
        """Nodes and tasks at this moment, for notebooks."""
        return machine_html(self)

    # Time ------------------------------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> int:
        """Simulated time in ns."""
        return self._now  # type: ignore[return-value]

    def step(self) -> None:
        """Let the hardware run up to the next event, then process that event (or what stopped the hardware)."""
        timeline = self.timeline
        if timeline is not None:
            timeline.keep_up()
        if self.on_hardware:
            next_ns = self._queue[0][0] if self._queue else _FOREVER_NS
            if next_ns > self._now:
                if timeline is None:
                    stopped = _run_hardware.call(self.kernel, int(next_ns))
                else:
                    stopped = timeline.advance(int(next_ns))
                if stopped != HORIZON:
                    self._now = self.vm.now_ns
                    if stopped == KICK:
                        self.attend()
                    else:
                        self._trap(self.cpus[stopped])
                    if self.check_level == "full":
                        self.check()
                    return
        super().step()
        if self.check_level == "full":
            self.check()

    def let_pass(self, delay_ns: int) -> bool:
        """Let `delay_ns` pass here and now, if nothing else can happen meanwhile; False: only an event can.

        For what is done last at an instant, it is the same as waiting for an event of that delay, but costs nothing.
        """
        then_ns = self._now + delay_ns
        if (self._queue and self._queue[0][0] <= then_ns) or (delay_ns and self.on_hardware):
            return False
        self._now = then_ns
        return True

    def check(self) -> None:
        """Raise `InvariantViolation` if the state breaks a rule that must always hold (`numa_sim.kernel.debug_vm`)."""
        check_bug(self.kernel)
        check_lock_order(self.kernel)
        if self.check_level == "none":
            return
        problem, where = _check_zones(self.kernel)
        if problem == 0 and self.check_level == "full":
            problem, where = _check_frames(self.kernel)
        if problem:
            raise InvariantViolation(PROBLEMS[problem], self.now_ns, f"at {where}, seed {self.seed}")

    def _trap(self, cpu: Cpu) -> None:
        """The hardware stopped on `cpu`: serve it here if no process need know, else resume its task, now."""
        task = cpu.current
        assert isinstance(task, TaskProcess)
        record = cpu.record
        stop = record.stop_reason
        if stop == STOP_BUFFER and task.refill():
            record.running = 1
            return
        if stop == STOP_SLICE and not cpu.queue:
            record.slice_end_ns = self.now_ns + task.slice_ns
            record.running = 1
            return
        self.on_hardware -= 1
        task.trap.come(stop)

    def enter_hardware(self, cpu: Cpu) -> None:
        """`cpu` runs its current task's accesses from its clock on."""
        cpu.record.running = 1
        self.on_hardware += 1

    def leave_hardware(self, cpu: Cpu) -> None:
        """Take `cpu` off the hardware from outside (a kill)."""
        cpu.record.running = 0
        self.on_hardware -= 1

    def enter_kernel(self, task: int, cpu: int) -> None:
        """Tell the rules who calls, where and when."""
        vm = self.vm
        vm.now_ns = self._now
        vm.current_task = task
        vm.current_cpu = cpu

    # What rules ask for ----------------------------------------------------------------------------------------------

    def attend(self) -> None:
        """Act on what the rules asked for: I/O queued, kswapd woken, a victim chosen."""
        vm = self.vm
        if vm.io_head != vm.io_tail:
            self.block.submit()
        if vm.kswapd_wanted or vm.kreclaimd_wanted:
            self.generation.wake_daemons()
        if vm.bdflush_wanted:
            self.bdflush.wanted()
        if vm.oom_victim != NIL:
            victim = self.rows[vm.oom_victim]
            vm.oom_victim = NIL
            self.warn(f"Out of Memory: Killed process {victim.record.pid} ({victim.name}).")
            for task in self.rows.sharing(victim.record.mm):
                task.kill("out of memory")

    # Who runs where --------------------------------------------------------------------------------------------------

    def choose_cpu(self, task: Runnable) -> Cpu:
        """CPU for a task that becomes runnable: its last one if idle, an idle one, else the shortest queue."""
        if task.cpu is not None and task.cpu.load == 0:
            return task.cpu
        allowed = [self.cpus[number] for number in task.allowed]
        return min(allowed, key=lambda cpu: (cpu.load, cpu.number))

    def cpu_for_daemon(self, node: int) -> Cpu:
        """CPU on which a kernel thread works for `node`."""
        return cpu_for_daemon(self.cpus, node)

    # Programs --------------------------------------------------------------------------------------------------------

    def add(
        self,
        program: Callable[[Any], Any],
        *,
        name: str | None = None,
        cpus: Iterable[int] | None = None,
        start_ns: int = 0,
        nice: int = 0,
        root: bool = False,
        limits: Mapping[str, int] | None = None,
        mempolicy: MemPolicy | None = None,
        kind: str = "program",
    ) -> TaskProcess:
        """Add a task that runs `program`.

        Parameters
        ----------
        program : callable
            Called with a `TaskHandle`, returns a generator of operations, like a SimPy process.
        name : str, optional
            For reports; the function's name by default.
        cpus : iterable of int, optional
            CPUs it may run on; all by default.
        start_ns : int
            When it starts, in ns.
        nice : int
            -20 to 19: a longer or shorter time slice, earlier or later turns; and the OOM killer's badness.
        root : bool
            Runs as uid 0: may swapon and swapoff; the OOM killer spares it longer.
        limits : mapping, optional
            Resource limits in bytes (RLIM_INFINITY: none) of stack, data, as, memlock, core; else init's.
        mempolicy : MemPolicy, optional
            From which nodes its memory comes (`numa_sim.workloads.mempolicy`), as if numactl had started it.
        """
        row = self.rows.reserve()
        if row is None:
            raise SimulationError(f"there is no row for another task: {self.rows.bound}")
        chosen = self.existing_cpus(cpus if cpus is not None else range(len(self.cpus)))
        begin_as(self.kernel, row, nice, root, limits or {}, mempolicy)
        label = name if name is not None else getattr(program, "__name__", f"task{len(self.tasks)}")
        return self.enter_task(row, label, program, chosen, start_ns, kind)

    def existing_cpus(self, cpus: Iterable[int]) -> tuple[int, ...]:
        """`cpus`, all of which the machine has."""
        chosen = tuple(cpus)
        if not chosen or not all(0 <= cpu < len(self.cpus) for cpu in chosen):
            raise SimulationError(f"task on CPUs {list(chosen)}: this machine has CPUs 0 to {len(self.cpus) - 1}")
        return chosen

    def enter_task(
        self, row: int, name: str, program: Any, cpus: tuple[int, ...], start_ns: int, kind: str
    ) -> TaskProcess:
        """Make the task whose row is reserved and filled in."""
        record = self.kernel.tasks[row]
        record.pid, record.state = FIRST_USER_PID + len(self.tasks), TASK_RUNNING
        task = TaskProcess(self, row, name, program, cpus, start_ns, kind)
        self.rows.enter(row, task)
        self.living += 1
        task.process.callbacks.append(self._task_ended)
        self.tasks.append(task)
        return task

    def procfs(self, name: str) -> str:
        """One of the kernel's own texts about the machine at this moment.

        Parameters
        ----------
        name : str
            ``meminfo``, ``vmstat``, ``zoneinfo``, ``buddyinfo``, ``slabinfo``, ``numastat``, ``swaps``, ...: see
            `numa_sim.observe.procfs.FILES`; or of one node: ``node0/meminfo``, ``node0/numastat``, ``node0/vmstat``;
            or of one task, by its name or pid: ``100/maps``, ``db/smaps``, ``db/numa_maps``, ``db/status``.

        Examples
        --------
        >>> print(machine.procfs("meminfo"))     # doctest: +SKIP
        """
        who, _, file = name.rpartition("/")
        if who and file in proc_pid.FILES:
            return proc_pid.FILES[file](self.kernel, process_named(self, who))
        return procfs.text(self.kernel, name, self.swap.names_by_index())

    def warn(self, message: str) -> None:
        """Note something the user should know about this run."""
        self.warnings.append(f"at {self.now_ns / 1e6:.3f} ms: {message}")

    # Running ---------------------------------------------------------------------------------------------------------

    def run_to_end(self, progress: Callable[[Machine], None] | None = None) -> RunResult:
        """Run until every task has ended or the configured limit; return what happened.

        Parameters
        ----------
        progress : callable, optional
            Called with the machine at every sample.
        """
        if self.config.run.budget != Budget():
            self.watchdog = Watchdog(self, self.config.run.budget)
        if not self.tasks:
            raise SimulationError("nothing to run: no workload was given")
        self._recording.begin(progress)
        everybody = self._all_ended
        limit = self.config.run.until
        rest_ns = max(0, int(limit) - self.now_ns) if limit is not None else 0
        end: simpy.Event = everybody if limit is None else simpy.AnyOf(self, [everybody, self.timeout(rest_ns)])
        with set_aside():
            super().run(until=end)
        for task in self.tasks:
            if task.process.is_alive:
                task.close_account()
        self._recording.end()
        self.check()
        return self._recording.result()

    def _task_ended(self, process: simpy.Event) -> None:
        """With the last task, those included that others have made, the run ends; an error ends it at once."""
        self.living -= 1
        if not process.ok:
            process.defused = True
            self._all_ended.fail(cast(Exception, process.value))
        elif self.living == 0:
            self._all_ended.succeed()

    def run_until(self, time_ns: int) -> None:
        """Run up to `time_ns` and no further, to look at the machine as it is then (`procfs`, ``kernel``)."""
        if time_ns > self.now_ns:
            super().run(until=time_ns)
