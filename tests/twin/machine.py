"""The slow twin: what the engine means, one SimPy event per access.

A plain SimPy program.  Every access of every CPU is an event of its own, at the instant it is issued.  What happens
at one instant happens in this order:

1. everything else (interrupts of devices, daemons, tasks that wake or are granted a CPU), first come, first served;
2. accesses, the CPU with the lowest number first.

Only the kernel's rules are shared with the engine (`numa_sim.kernel`, called on a state of the twin's own); time,
hardware, run queues, devices and daemons are written again, here and in `twin.hardware`, `twin.task`.
"""

from __future__ import annotations

from itertools import chain
from typing import Any

import simpy
from twin import v2_2, v2_4_0
from twin.boot import disks_of, frames_of, power_on
from twin.disks import Transfer, TwinDisk
from twin.hardware import MemorySystem, Mmu
from twin.mmap_sem import Semaphores
from twin.task import Task

from numa_sim.compiled import entry
from numa_sim.config.model import Config
from numa_sim.kernel.mempolicy import mpol_new, set_mempolicy
from numa_sim.kernel.page_io import end_swap_read, end_swap_write
from numa_sim.kernel.tlb import switch_mm
from numa_sim.kernel.vmscan import check_classzone_need_balance, reclaim_begin, reclaim_run
from numa_sim.state.answers import RECLAIM_DONE, RECLAIM_WAIT, RECLAIM_YIELD
from numa_sim.state.constants import (
    BUFFERS_BUSY,
    GFP_KSWAPD,
    IO_READ,
    MPOL_MODES,
    NIL,
    PF_KTHREAD,
    PF_MEMALLOC,
    PG_locked,
)
from numa_sim.state.counters import (
    MIGRATIONS_ACROSS_NODES,
    MIGRATIONS_WITHIN_NODE,
    PAGE_LOCK_WAIT_NS,
    PAGE_LOCK_WAITS,
    PAGEOUTRUN,
    PART_DAEMON,
)
from numa_sim.state.event_codes import EV_CONTEXT_SWITCH, EV_KSWAPD_SLEEP, EV_KSWAPD_WAKE, EV_MIGRATE_TASK
from numa_sim.state.events import log_event
from numa_sim.state.rows import row
from numa_sim.topology import Topology
from numa_sim.workloads.configured import program_from_config

SWAPPER, KSWAPD, FIRST_USER = 0, 1, 2
FIRST_PID = 100
MERGED_PAGES = 32
KSWAPD_REST_NS = {"linux-2.4.22": 1_000_000_000, "linux-2.4.37": 5_000_000_000}

_switch_mm = entry(switch_mm)
_log_event = entry(log_event)
_end_swap = {True: entry(end_swap_read), False: entry(end_swap_write)}
_need_balance = entry(check_classzone_need_balance)
_reclaim_begin = entry(reclaim_begin)
_reclaim_run = entry(reclaim_run)


class Cpu:
    """A CPU and the tasks that wait for it, first come, first served."""

    def __init__(self, machine: Twin, number: int) -> None:
        self.machine = machine
        self.number = number
        self.record = row(machine.k.cpus, number)
        self.node = self.record.node
        self.queue: list[tuple[int, int, Task]] = []
        self.round = self.arrivals = 0
        self.current: Task | None = None
        self.last: Task | None = None
        self.free_ns = 0
        """Until when a task that has gone to sleep still works here."""
        self.hit_credit = 0
        """1024ths of a cache line still owed to memory."""

    @property
    def load(self) -> int:
        return len(self.queue) + (self.current is not None)

    def enqueue(self, task: Task, again: bool) -> None:
        """Wait for a turn: in the round after the running task's, or after one's own if one ran here just now."""
        self.arrivals += 1
        self.queue.append(((task.round if again else self.round) + 1, self.arrivals, task))
        if self.current is None:
            self.switch()

    def rank(self, waiting: tuple[int, int, Task]) -> tuple[int, int, int]:
        """Earlier rounds first, then low nice values, then the loaded address space, then who came first."""
        round_, arrival, task = waiting
        good = task.slice_ticks + 20 - int(task.record.nice) + (task.record.mm == self.record.mm)
        return round_, -good, arrival

    def switch(self) -> None:
        """Switch to the best task in the queue; its `granted` event comes when the switch is over."""
        machine = self.machine
        chosen = min(self.queue, key=self.rank)
        self.queue.remove(chosen)
        self.round, _, task = chosen
        task.round = self.round
        self.current = task
        begin_ns = max(machine.now, self.free_ns)
        machine.enter(task.index, self.number)
        switch_ns = 0
        if task is not self.last:
            switch_ns += machine.costs.context_switch_ns
            self.record.context_switches += 1
            _log_event(machine.k, EV_CONTEXT_SWITCH, self.number, task.index)
        if _switch_mm(machine.k, self.number, task.record.mm):
            switch_ns += machine.costs.tlb_flush_ns
        self.record.task, task.record.cpu, self.last = task.index, self.number, task
        task.granted.switch_ns = switch_ns
        task.slice_end_ns = begin_ns + switch_ns + task.slice_ns
        machine.schedule(task.granted, delay=begin_ns + switch_ns - machine.now)

    def release(self, kernel_ns: int) -> None:
        """The current task leaves after `kernel_ns` more of work here."""
        self.free_ns = self.machine.now + kernel_ns
        self.current = None
        if self.queue or self.take_over():
            self.switch()
        elif self.machine.config.kernel.switches.lazy_tlb:
            self.record.lazy = 1

    def take_over(self) -> bool:
        """With nothing to do: the longest queue of the node, then of the others, gives the first task that may come."""
        wanted = self.machine.config.kernel.balance
        for near, is_wanted in ((True, wanted.within_node), (False, wanted.across_nodes)):
            others = [cpu for cpu in self.machine.cpus if (cpu.node == self.node) == near] if is_wanted else []
            for cpu in sorted(others, key=lambda cpu: (-len(cpu.queue), cpu.number)):
                for waiting in cpu.queue:
                    task = waiting[-1]
                    if self in task.allowed:
                        cpu.queue.remove(waiting)
                        self.arrivals += 1
                        self.queue.append((self.round + 1, self.arrivals, task))
                        task.cpu = self
                        counter = MIGRATIONS_WITHIN_NODE if near else MIGRATIONS_ACROSS_NODES
                        self.machine.k.vmstat[self.node, counter] += 1
                        self.machine.log(task.index, self.number, EV_MIGRATE_TASK, task.index, self.number)
                        return True
        return False

    def lend(self, cost_ns: int) -> None:
        """An interrupt or daemon takes `cost_ns` from the task that executes here, if one does."""
        if self.record.running:
            self.record.clock_ns += cost_ns
            self.machine.parts[self.record.task, PART_DAEMON] += cost_ns


class Twin(simpy.Environment):
    """The machine.  `run_to_end` runs it."""

    def __init__(self, config: Config, topology: Topology) -> None:
        super().__init__()
        self.config = config
        self.k = power_on(config, topology)
        self.vm, self.costs = row(self.k.vm, 0), row(self.k.costs, 0)
        self.parts = self.k.time_parts
        self.mmu = Mmu(self.k)
        self.memory = MemorySystem(config, topology, frames_of(topology))
        self.missing_1024ths = 1024 - round(1024 * config.machine.cache_hit_ratio)
        self.slice_ns = config.kernel.time_slice
        self.semaphores = Semaphores(self)
        self.cpus = [Cpu(self, number) for number in range(topology.cpu_count)]
        self.disks = [
            TwinDisk(self, model, blocks, config.kernel.switches.plugging, self.interrupt_of_device)
            for model, blocks in disks_of(config)[0]
        ]
        self.page_io: dict[int, simpy.Event] = {}
        self.page_waits: dict[int, list[int]] = {}
        self.kswapd_bell: simpy.Event | None = None
        self.k.tasks[KSWAPD].flags |= PF_MEMALLOC | PF_KTHREAD
        self.old_kswapd: v2_4_0.Kswapd | None = None
        self.kreclaimd: v2_4_0.Kreclaimd | None = None
        self.bdflush: v2_4_0.Bdflush | None = None
        switches = config.kernel.switches
        if config.kernel.profile == "linux-2.4.0":
            self.vm.kswapd_asleep = self.vm.kreclaimd_asleep = 0
            self.old_kswapd = v2_4_0.Kswapd(self) if switches.kswapd else None
            self.kreclaimd = v2_4_0.Kreclaimd(self, len(self.k.tasks) - 3) if switches.kreclaimd else None
            self.bdflush = v2_4_0.Bdflush(self, len(self.k.tasks) - 1) if switches.bdflush else None
        elif config.kernel.profile == "linux-2.2":
            self.vm.kswapd_asleep = 0
            self.old_kswapd = v2_2.Kswapd(self) if switches.kswapd else None
        elif switches.kswapd:
            self.process(self.kswapd())
        self.tasks: list[Task] = []
        self.rows_given_back: list[int] = []
        self.next_row = FIRST_USER
        self.living = 0
        self.all_ended = simpy.Event(self)
        for workload in config.workload:
            program = program_from_config(workload, config.place)
            for copy in range(workload.count):
                name = workload.name if workload.count == 1 else f"{workload.name}-{copy}"
                index = self.reserve_row()
                self.k.tasks[index].nice = workload.nice
                if (wanted := workload.policy) is not None:
                    policy = mpol_new(self.k, MPOL_MODES[wanted.mode], wanted.nodes, wanted.weights)
                    set_mempolicy(self.k, index, policy)
                self.enter_task(index, name, program, workload.cpus, workload.start)

    def reserve_row(self) -> int | None:
        """A row for one more task."""
        if self.rows_given_back:
            return self.rows_given_back.pop()
        if self.next_row >= len(self.k.tasks) - 3:
            return None
        self.next_row += 1
        return self.next_row - 1

    def enter_task(self, index: int, name: str, program: Any, cpus: Any, start_ns: int) -> Task:
        record = self.k.tasks[index]
        record.pid, record.state = FIRST_PID + len(self.tasks), 1
        task = Task(self, index, name, program, cpus, start_ns)
        task.process.callbacks.append(self.task_ended)
        self.living += 1
        self.tasks.append(task)
        return task

    def add_child(self, parent: Task, index: int, op: Any) -> Task:
        parent.forks += 1
        record = self.k.tasks[index]
        record.nice, record.parent = parent.record.nice, parent.index
        record.mempolicy, record.il_next = parent.record.mempolicy, parent.record.il_next
        cpus = [cpu.number for cpu in parent.allowed] if op.cpus is None else op.cpus
        child = self.enter_task(index, f"{parent.handle.name}/{op.name}-{parent.forks}", op.program, cpus, self.now)
        child.parent = parent
        parent.children.append(child)
        return child

    def task_ended(self, process: Any) -> None:
        self.living -= 1
        if process.ok and not self.living:
            self.all_ended.succeed()

    def run_to_end(self) -> None:
        end: simpy.Event = self.all_ended
        if self.config.run.until is not None:
            end = simpy.AnyOf(self, [end, self.timeout(self.config.run.until)])
        self.run(until=end)
        for task in self.tasks:
            task.close_account()

    # Between rules and time ------------------------------------------------------------------------------------------

    def enter(self, task: int, cpu: int) -> None:
        """Tell the rules who calls, where and when."""
        self.vm.now_ns, self.vm.current_task, self.vm.current_cpu = self.now, task, cpu

    def log(self, task: int, cpu: int, code: int, a: int, b: int) -> None:
        self.enter(task, cpu)
        _log_event(self.k, code, a, b)

    def attend(self) -> None:
        """At once after a rule: start the I/O it queued, ring for kswapd, deliver the signal to a victim."""
        self.submit_io()
        if self.vm.kswapd_wanted:
            self.vm.kswapd_wanted = 0
            if self.old_kswapd is not None:
                self.old_kswapd.ring()
            if self.kswapd_bell is not None:
                self.kswapd_bell.succeed()
                self.kswapd_bell = None
        if self.vm.kreclaimd_wanted and self.kreclaimd is not None:
            self.vm.kreclaimd_wanted = 0
            self.kreclaimd.ring()
        if self.vm.bdflush_wanted and self.bdflush is not None:
            self.bdflush.ring()
        self.vm.bdflush_wanted = 0
        if self.vm.oom_victim != NIL:
            mm = self.k.tasks[self.vm.oom_victim].mm
            self.vm.oom_victim = NIL
            for task in sorted(self.tasks, key=lambda task: task.index):
                if task.record.mm == mm:
                    task.kill()

    def cpu_for_kernel(self, node: int) -> Cpu:
        """Where the kernel's own work for `node` is done: an idle CPU there, an idle CPU, a CPU there, any."""
        idle = [cpu for cpu in self.cpus if cpu.current is None]
        near = [cpu for cpu in self.cpus if cpu.node == node]
        return next(chain((cpu for cpu in idle if cpu.node == node), idle, near, self.cpus))

    # Swap I/O --------------------------------------------------------------------------------------------------------

    def submit_io(self) -> None:
        """Every page to its disk; without a request queue those for neighbouring blocks travel together."""
        last: tuple[TwinDisk, Transfer] | None = None
        while self.vm.io_head < self.vm.io_tail:
            page = self.k.io[self.vm.io_head % len(self.k.io)]
            self.vm.io_head += 1
            op, number, block, pfn = int(page.op), int(page.device), int(page.block), int(page.pfn)
            disk = self.disks[number]
            if last is not None:
                neighbour = last[1].op == op and last[1].block + len(last[1].pfns) == block
                if last[0] is disk and neighbour and len(last[1].pfns) < MERGED_PAGES:
                    last[1].pfns.append(pfn)
                    continue
                last[0].start(last[1])
                last = None
            if disk.elevator == "none":
                last = disk, Transfer(op, block, [pfn])
            else:
                disk.page(op, block, pfn)
        if last is not None:
            last[0].start(last[1])

    def pull_plugs(self) -> None:
        for disk in self.disks:
            if disk.plugged:
                disk.pull_plug()

    def interrupt_of_device(self, transfer: Transfer) -> None:
        cpu = self.cpu_for_kernel(0)
        self.enter(SWAPPER, cpu.number)
        for pfn in transfer.pfns:
            _end_swap[transfer.op == IO_READ](self.k, pfn)
        for pfn in transfer.pfns:
            if pfn in self.page_io:
                self.page_io.pop(pfn).succeed()
                counters = self.k.vmstat[self.k.section_zone[pfn >> self.vm.section_shift] // 3]
                counters[PAGE_LOCK_WAITS] += len(self.page_waits[pfn])
                counters[PAGE_LOCK_WAIT_NS] += sum(int(self.now) - since_ns for since_ns in self.page_waits.pop(pfn))
        cpu.lend(self.costs.end_io_ns * len(transfer.pfns))

    def unlocked(self, pfn: int) -> simpy.Event | None:
        """The end of the I/O on a page; None if there is none under way."""
        if not int(self.k.pages[pfn].flags) & PG_locked and int(self.k.pages[pfn].buffers) < BUFFERS_BUSY:
            return None
        self.pull_plugs()
        self.page_waits.setdefault(pfn, []).append(int(self.now))
        return self.page_io.setdefault(pfn, simpy.Event(self))

    # kswapd ----------------------------------------------------------------------------------------------------------

    def zones_short(self) -> list[int]:
        """Zones that want balance: nodes in pgdat_list order, zones of a node from the top."""
        zones = []
        node = int(self.k.vm[0].pgdat_list)
        while node != NIL:
            zones += [z for z in (3 * node + 2, 3 * node + 1, 3 * node) if self.k.zones[z].need_balance]
            node = int(self.k.nodes[node].pgdat_next)
        return zones

    def kswapd(self) -> Any:
        """Sleep until an allocation rings; then balance zones until none wants it."""
        while True:
            zones = self.zones_short()
            if not zones:
                self.log(KSWAPD, self.cpu_for_kernel(0).number, EV_KSWAPD_SLEEP, 0, 0)
                self.vm.kswapd_asleep = 1
                self.kswapd_bell = simpy.Event(self)
                yield self.kswapd_bell
                zones = self.zones_short()
                node = zones[0] // 3 if zones else 0
                self.log(KSWAPD, self.cpu_for_kernel(node).number, EV_KSWAPD_WAKE, len(zones), 0)
            for zone in zones:
                if self.k.zones[zone].need_balance:
                    yield from self.balance(zone)
            self.pull_plugs()

    def balance(self, zone: int) -> Any:
        """kswapd_balance_pgdat's work on one zone: reclaim until done or failed; after a failure, a long rest."""
        k, node = self.k, zone // 3
        task = row(k.tasks, KSWAPD)
        k.vmstat[node, PAGEOUTRUN] += 1
        self.enter(KSWAPD, self.cpu_for_kernel(node).number)
        _reclaim_begin(k, KSWAPD, zone, GFP_KSWAPD)
        status = RECLAIM_YIELD
        while status == RECLAIM_YIELD or status == RECLAIM_WAIT:
            cpu = self.cpu_for_kernel(node)
            self.enter(KSWAPD, cpu.number)
            task.cost_ns = 0
            status = _reclaim_run(k, KSWAPD)
            cost_ns = task.cost_ns
            self.attend()
            if cost_ns:
                self.parts[KSWAPD, PART_DAEMON] += cost_ns
                cpu.lend(cost_ns)
                yield self.timeout(cost_ns)
            if status == RECLAIM_WAIT:
                unlocked = self.unlocked(task.wait_pfn)
                if unlocked is not None:
                    yield unlocked
        self.enter(KSWAPD, self.cpu_for_kernel(node).number)
        if status != RECLAIM_DONE:
            k.zones[zone].need_balance = 0
            yield self.timeout(KSWAPD_REST_NS[self.config.kernel.profile])
        elif not _need_balance(k, zone):
            k.zones[zone].need_balance = 0
