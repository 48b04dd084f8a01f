"""The twin's tasks: SimPy processes that issue one access at a time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import simpy
from twin import children, v2_2

from numa_sim.compiled import entry
from numa_sim.kernel.memory import abandon_fault, handle_mm_fault
from numa_sim.kernel.mmap import do_mmap, do_munmap, mm_alloc, mmput, setup_arg_pages
from numa_sim.kernel.numa import alloc_after_reclaim
from numa_sim.kernel.signal import do_signal, force_sig, send_sig
from numa_sim.kernel.v2_4_0.oom_kill import oom_kill, out_of_memory
from numa_sim.kernel.v2_4_0.pressure import free_shortage, inactive_shortage
from numa_sim.kernel.v2_4_0.vmscan import reclaim_begin as reclaim_begin_2_4_0
from numa_sim.kernel.v2_4_0.vmscan import reclaim_run as reclaim_run_2_4_0
from numa_sim.kernel.v2_4_0.vmscan import try_to_free_pages_begin
from numa_sim.kernel.vmscan import reclaim_begin, reclaim_run
from numa_sim.state.constants import (
    ALLOC_FAIL,
    ALLOC_RECLAIM,
    ALLOC_WAIT_KSWAPD,
    ALLOC_YIELD,
    ALLOCSTALL,
    EV_SLICE_END,
    EV_TASK_EXIT,
    EV_TASK_START,
    EV_TASK_WAKE,
    FAULT_MAJOR,
    FAULT_MINOR,
    FAULT_RECLAIM,
    FAULT_SEGV,
    FAULT_WAIT,
    NIL,
    PAGE_SHIFT,
    PART_COMPUTE,
    PART_CONTEXT_SWITCH,
    PART_DIRECT_RECLAIM,
    PART_KSWAPD_WAIT,
    PART_LOCAL,
    PART_LOCK_WAIT,
    PART_MAJOR_FAULT,
    PART_MINOR_FAULT,
    PART_QUEUEING,
    PART_REMOTE,
    PART_RUN_QUEUE,
    PART_SLEEP,
    PART_SWAP_WAIT,
    PART_SYSCALL,
    PART_TLB_WALK,
    PF_MEMALLOC,
    PTE_PCD,
    PTE_PWT,
    RECLAIM_DONE,
    RECLAIM_WAIT,
    RECLAIM_YIELD,
    SEGV_MAPERR,
    SIGKILL,
    SIGSEGV,
    TASK_RUNNING,
    TASK_SLEEPING,
)
from numa_sim.state.hardware_layout import ACCESS
from numa_sim.state.kernel import zeros
from numa_sim.state.rows import row
from numa_sim.workloads.children import Exit, Fork, Wait
from numa_sim.workloads.program import Compute, Mmap, Munmap, Region, Sleep, TaskHandle, Touch

if TYPE_CHECKING:
    from twin.machine import Cpu, Twin

FETCH = 4096
"""Accesses a program plans ahead; the computing before the first of the next ones starts when the last has ended."""
AFTER_EVENTS = 2
"""Priority of CPU 0's accesses: after SimPy's own two."""
Steps = Any

_handle_mm_fault = entry(handle_mm_fault)
_abandon_fault = entry(abandon_fault)
_alloc_after_reclaim = entry(alloc_after_reclaim)
_reclaim_begin = entry(reclaim_begin)
_reclaim_run = entry(reclaim_run)
_reclaim_begin_2_4_0 = entry(reclaim_begin_2_4_0)
_reclaim_run_2_4_0 = entry(reclaim_run_2_4_0)
_try_to_free_pages_begin = entry(try_to_free_pages_begin)
_free_shortage = entry(free_shortage)
_inactive_shortage = entry(inactive_shortage)
_out_of_memory = entry(out_of_memory)
_oom_kill = entry(oom_kill)


class Turn(simpy.Event):
    """The instant a CPU issues an access: after all other events of that instant, CPUs in order of their numbers."""

    def __init__(self, machine: Twin, cpu: Cpu) -> None:
        super().__init__(machine)
        self._ok, self._value = True, None
        machine.schedule(self, AFTER_EVENTS + cpu.number, cpu.record.clock_ns - machine.now)


class Grant(simpy.Event):
    """A CPU is ours, after a switch of `switch_ns`."""

    def __init__(self, machine: Twin) -> None:
        super().__init__(machine)
        self._ok, self._value = True, None
        self.switch_ns = 0


class Task:
    """A task of one program."""

    def __init__(self, machine: Twin, index: int, name: str, program: Any, cpus: Any, start_ns: int) -> None:
        self.machine, self.k, self.index, self.start_ns = machine, machine.k, index, start_ns
        self.record = row(machine.k.tasks, index)
        self.parts = machine.k.time_parts[index]
        self.program = program
        self.handle = TaskHandle(name=name, pid=self.record.pid, seed=machine.config.run.seed)
        self.allowed = [machine.cpus[n] for n in cpus] if cpus is not None else list(machine.cpus)
        self.cpu: Cpu | None = None
        self.granted = Grant(machine)
        self.slice_end_ns = 0
        self.round = 0
        self.slice_ticks = (20 - int(self.record.nice)) // 4 + 1
        self.slice_ns = machine.slice_ns * self.slice_ticks // 6
        self.record.start_ns = start_ns
        self.doing, self.since_ns = NIL, 0
        """What it waits for (a part of its time) and since when; NIL while it executes or has not started."""
        self.killable = False
        self.parent: Task | None = None
        self.children: list[Task] = []
        self.forks = 0
        self.child_ended: simpy.Event | None = None
        self.process = machine.process(self.life())

    # Life ------------------------------------------------------------------------------------------------------------

    def life(self) -> Steps:
        if self.start_ns > self.machine.now:
            yield self.machine.timeout(self.start_ns - self.machine.now)
        if self.record.mm == NIL:
            mm_alloc(self.k, self.index)
            setup_arg_pages(self.k, self.index)
        yield from self.get_cpu()
        self.log(EV_TASK_START, 0)
        program = self.program(self.handle)
        answer = None
        while not self.record.killed:
            try:
                operation = program.throw(answer) if isinstance(answer, OSError) else program.send(answer)
            except StopIteration:
                break
            if isinstance(operation, Exit):
                self.record.exit_code = operation.status << 8
                break
            answer = yield from self.perform(operation)
        program.close()
        self.enter()
        do_signal(self.k, self.index)
        _abandon_fault(self.k, self.index)
        self.record.cost_ns = self.machine.costs.syscall_ns
        mmput(self.k, self.index)
        self.log(EV_TASK_EXIT, 0)
        self.machine.attend()
        yield from self.work(self.record.cost_ns, PART_SYSCALL)
        self.record.end_ns = self.machine.now
        children.end(self)
        self.cpu.release(0)

    def perform(self, op: Any) -> Steps:
        k, t = self.k, self.index
        self.enter()
        if isinstance(op, Touch):
            yield from self.touch(op.source)
        elif isinstance(op, Sleep):
            self.record.state = TASK_SLEEPING
            self.cpu.release(0)
            yield from self.wait_or_die(self.machine.timeout(op.ns), PART_SLEEP)
            yield from self.get_cpu()
        elif isinstance(op, Compute):
            yield from self.compute(op.ns)
        elif isinstance(op, Fork):
            return (yield from children.fork(self, op))
        elif isinstance(op, Wait):
            return (yield from children.wait(self, op))
        else:
            self.record.cost_ns = self.machine.costs.syscall_ns
            if isinstance(op, Mmap):
                vpn = do_mmap(k, t, op.size_pages, NIL if op.at_vpn is None else op.at_vpn, op.prot)
            elif isinstance(op, Munmap):
                do_munmap(k, t, op.region.start_vpn + op.offset_pages, op.length_pages)
                self.machine.attend()
            yield from self.work(self.record.cost_ns, PART_SYSCALL)
            if isinstance(op, Mmap):
                return Region(vpn, op.size_pages, op.name)
        return None

    def kill(self) -> None:
        """SIGKILL ends sleep and computing at once, executing when the access under way has ended.

        A task that works or waits in the kernel notices when it has done so.
        """
        send_sig(self.k, self.index, SIGKILL)
        executing = self.cpu is not None and self.cpu.current is self and self.cpu.record.running
        if executing:
            self.cpu.record.running = 0  # at once: no interrupt or daemon delays the access under way any more
        if executing or self.killable:
            self.killable = False
            self.process.interrupt()

    # Time and CPUs ---------------------------------------------------------------------------------------------------

    def enter(self) -> None:
        self.machine.enter(self.index, self.cpu.number)

    def log(self, code: int, b: int) -> None:
        self.machine.log(self.index, self.cpu.number, code, self.index, b)

    def wait(self, event: simpy.Event, part: int) -> Steps:
        self.doing, self.since_ns = part, self.machine.now
        yield event
        self.doing = NIL

    def close_account(self) -> None:
        """The run ends first: what it waits for is charged up to now."""
        if self.doing != NIL:
            self.parts[self.doing] += self.machine.now - self.since_ns

    def book(self, cost_ns: int, part: int) -> None:
        """Charge work, all there is of it; what of it was spinning for a lock is a part of its own."""
        spun_ns = min(self.record.lock_wait_ns, cost_ns)
        self.record.lock_wait_ns = 0
        self.parts[PART_LOCK_WAIT] += spun_ns
        self.parts[part] += cost_ns - spun_ns

    def work(self, cost_ns: int, part: int) -> Steps:
        """Stay on the CPU, in the kernel, for `cost_ns`."""
        if cost_ns:
            yield from self.wait(self.machine.timeout(cost_ns), part)
            self.book(cost_ns, part)

    def wait_or_die(self, event: simpy.Event, part: int) -> Steps:
        begin_ns = self.machine.now
        self.killable = True
        with suppress(simpy.Interrupt):
            yield from self.wait(event, part)
        self.killable, self.doing = False, NIL
        self.parts[part] += self.machine.now - begin_ns

    def get_cpu(self, again: bool = False) -> Steps:
        """Become runnable: on the last CPU if that is idle, else on the CPU with least to do; wait to be granted it."""
        self.record.state = TASK_RUNNING
        last = self.cpu
        if self.cpu is None or self.cpu.load:
            self.cpu = min(self.allowed, key=lambda cpu: (cpu.load, cpu.number))
        begin_ns = self.machine.now
        grant = self.granted = Grant(self.machine)
        self.cpu.enqueue(self, again and self.cpu is last)
        yield from self.wait(grant, PART_RUN_QUEUE)
        self.parts[PART_RUN_QUEUE] += self.machine.now - begin_ns - grant.switch_ns
        self.parts[PART_CONTEXT_SWITCH] += grant.switch_ns

    def give_way(self) -> Steps:
        """In the kernel or computing: a task whose slice is used up goes to the end of the queue, if there is one."""
        if self.machine.now >= self.slice_end_ns:
            if self.cpu.queue:
                self.log(EV_SLICE_END, 0)
                self.cpu.release(0)
                yield from self.get_cpu(again=True)
            else:
                self.slice_end_ns = self.machine.now + self.slice_ns

    def compute(self, left_ns: int) -> Steps:
        while left_ns and not self.record.killed:
            yield from self.give_way()
            if not self.record.killed:
                piece_ns = min(left_ns, self.slice_end_ns - self.machine.now)
                yield from self.wait_or_die(self.machine.timeout(piece_ns), PART_COMPUTE)
                left_ns -= piece_ns

    def sleep(self, event: simpy.Event, part: int, kernel_ns: int, kernel_part: int) -> Steps:
        """Leave the CPU, after `kernel_ns` more of work, until `event`; then get one again."""
        self.record.state = TASK_SLEEPING
        begin_ns = self.machine.now
        self.cpu.release(kernel_ns)
        yield from self.wait(event, part)
        slept_ns = self.machine.now - begin_ns
        self.book(min(kernel_ns, slept_ns), kernel_part)
        self.parts[part] += max(0, slept_ns - kernel_ns)
        yield from self.get_cpu()

    # Accesses --------------------------------------------------------------------------------------------------------

    def touch(self, source: Any) -> Steps:
        """Every access of `source`, one after the other."""
        self.cpu.record.clock_ns = self.machine.now
        while accesses := self.fetch(source):
            for i, (vpn, compute_ns, lines, write) in enumerate(accesses):
                if i:
                    self.compute_before(compute_ns)
                yield from self.access(vpn, lines, write)
                if self.record.killed:
                    return
            yield from self.turn()
            if self.record.killed:
                return
        self.cpu.record.running = 0

    def fetch(self, source: Any) -> list[tuple[int, int, int, int]]:
        batch = zeros(FETCH, ACCESS)
        accesses = batch[: source.fill(batch)].tolist()
        if accesses:
            self.compute_before(accesses[0][1])
        return accesses

    def compute_before(self, compute_ns: int) -> None:
        self.cpu.record.clock_ns += compute_ns
        self.parts[PART_COMPUTE] += compute_ns

    def turn(self) -> Steps:
        """Wait until the CPU's clock; interrupts and shoot-downs that fall into the wait make it longer."""
        cpu = self.cpu
        cpu.record.running = 1
        cpu.record.clock_ns = max(cpu.record.clock_ns, self.machine.now)
        try:
            while True:
                yield Turn(self.machine, cpu)
                if cpu.record.clock_ns == self.machine.now:
                    return
        except simpy.Interrupt:
            cpu.record.running = 0
            yield self.machine.timeout(max(0, cpu.record.clock_ns - self.machine.now))

    def access(self, vpn: int, lines: int, write: int) -> Steps:
        """Issue one access; if it faults, again and again until it is through."""
        machine = self.machine
        while True:
            yield from self.turn()
            if self.record.killed:
                return
            if machine.now >= self.slice_end_ns:
                if self.cpu.queue:
                    self.cpu.record.running = 0
                    self.log(EV_SLICE_END, 0)
                    self.cpu.release(0)
                    yield from self.get_cpu(again=True)
                    if self.record.killed:
                        return
                    continue
                self.slice_end_ns = machine.now + self.slice_ns
            cpu = self.cpu
            pte = machine.mmu.cached(cpu.number, vpn, write)
            walked_ns = 0
            if not pte:
                pte = machine.mmu.walk(int(self.k.mms[self.record.mm].pgd), vpn, write)
                if pte:
                    walked_ns = machine.costs.tlb_walk_level_ns * machine.mmu.levels
                    machine.mmu.load(cpu.number, vpn, pte)
            if pte:
                break
            yield from self.page_fault(vpn, write)
            if self.record.killed:
                return
        if walked_ns:
            self.parts[PART_TLB_WALK] += walked_ns
        cpu.record.tlb_misses += int(walked_ns > 0)
        self.record.accesses_done += 1
        cpu.record.clock_ns += walked_ns
        if write:
            tag = int(self.k.tags[pte >> PAGE_SHIFT])
            self.k.tags[pte >> PAGE_SHIFT] = (5 * tag + vpn + 1) % 2**48
        uncached = pte & PTE_PCD or (write and pte & PTE_PWT)
        self.move_lines(lines, machine.memory.home(pte >> PAGE_SHIFT), not uncached)

    def move_lines(self, lines: int, home: int, cached: bool = True) -> None:
        """Through the caches, else through the memory system; the CPU waits for it."""
        cpu, memory, costs = self.cpu, self.machine.memory, self.machine.costs
        if cached and self.machine.missing_1024ths < 1024:
            cpu.hit_credit += lines * self.machine.missing_1024ths
            lines, cpu.hit_credit = divmod(cpu.hit_credit, 1024)
        if not lines:
            cpu.record.clock_ns += costs.cache_hit_ns
            self.parts[PART_COMPUTE] += costs.cache_hit_ns
            return
        wait_ns = memory.wait_ns(cpu.node, home, cpu.record.clock_ns, lines)
        memory_ns = memory.latency_ns(cpu.node, home) + (lines - 1) * costs.line_ns
        cpu.record.clock_ns += wait_ns + memory_ns
        self.parts[PART_QUEUEING] += wait_ns
        self.parts[PART_LOCAL if home == cpu.node else PART_REMOTE] += memory_ns

    # Faults ----------------------------------------------------------------------------------------------------------

    def page_fault(self, vpn: int, write: int) -> Steps:
        """Call the kernel; sleep or reclaim as it answers, and call again, until the fault is done."""
        machine, task = self.machine, self.record
        while True:
            self.enter()
            task.cost_ns = 0
            status = _handle_mm_fault(self.k, self.index, vpn, write)
            cost_ns, task.cost_ns = task.cost_ns, 0
            part = PART_MAJOR_FAULT if status == FAULT_MAJOR or task.fault_major else PART_MINOR_FAULT
            if status in (FAULT_MINOR, FAULT_MAJOR):
                machine.attend()
                self.cpu.record.clock_ns = machine.now + cost_ns
                self.book(cost_ns, part)
                return
            self.cpu.record.running = 0
            machine.attend()
            if status == FAULT_WAIT:
                yield from self.wait_on_page(PART_SWAP_WAIT, cost_ns, part)
            else:
                yield from self.work(cost_ns, part)
                if status == FAULT_RECLAIM:
                    yield from self.finish_allocation()
                else:
                    self.enter()
                    self.fail(status)
            if task.killed:
                return

    def fail(self, status: int) -> None:
        """The fault cannot be served: no memory, or a signal that is delivered at once, on the way back."""
        if status == FAULT_SEGV:
            force_sig(self.k, self.index, SIGSEGV, SEGV_MAPERR, 0)
            do_signal(self.k, self.index)
        else:
            self.kill()

    def wait_on_page(self, part: int, kernel_ns: int, kernel_part: int) -> Steps:
        pfn = self.record.wait_pfn
        unlocked = self.machine.unlocked(pfn)
        if unlocked is None:
            yield from self.work(kernel_ns, kernel_part)
            return
        yield from self.sleep(unlocked, part, kernel_ns, kernel_part)
        self.log(EV_TASK_WAKE, pfn)

    def finish_allocation(self) -> Steps:
        """What `__alloc_pages` does when there is no page at once; in the end there is one, or none."""
        task, answer = self.record, self.record.alloc_wants
        while answer < ALLOC_FAIL:
            freed = 0
            if answer == ALLOC_YIELD:
                yield from self.sched_yield()
            elif answer == ALLOC_WAIT_KSWAPD and self.machine.old_kswapd is not None:
                yield from self.sleep(self.machine.old_kswapd.round_ends(), PART_KSWAPD_WAIT, 0, PART_KSWAPD_WAIT)
            elif self.machine.config.kernel.profile == "linux-2.4.0":
                yield from self.reclaim_2_4_0(answer)
            elif self.machine.config.kernel.profile == "linux-2.2":
                freed = yield from self.reclaim_2_2()
            else:
                freed = yield from self.direct_reclaim()
            self.enter()
            task.cost_ns = 0
            answer = _alloc_after_reclaim(self.k, self.index, freed)
            self.machine.attend()
            yield from self.work(task.cost_ns, PART_DIRECT_RECLAIM)
        task.got_pfn = answer if answer >= 0 else NIL
        task.alloc_failed = int(answer == ALLOC_FAIL)

    def sched_yield(self) -> Steps:
        """Behind everybody else on this CPU; with nobody, as long as a switch takes."""
        if self.cpu.queue:
            self.cpu.release(0)
            yield from self.get_cpu(again=True)
        else:
            yield from self.work(max(1, self.machine.costs.context_switch_ns), PART_CONTEXT_SWITCH)

    def direct_reclaim(self) -> Steps:
        """try_to_free_pages by the task itself; whether it was enough."""
        k, t, task = self.k, self.index, self.record
        self.enter()
        k.vmstat[task.reclaim_zone // 3, ALLOCSTALL] += 1
        _reclaim_begin(k, t, task.reclaim_zone, task.reclaim_gfp)
        status = yield from self.run_reclaim(_reclaim_run)
        return int(status == RECLAIM_DONE)

    def reclaim_2_2(self) -> Steps:
        """do_try_to_free_pages by the task itself; whether it was enough."""
        self.enter()
        self.k.vmstat[self.record.alloc_node, ALLOCSTALL] += 1
        v2_2.begin(self.k, self.index, self.record.alloc_gfp)
        status = yield from self.run_reclaim(v2_2.run_rule)
        return int(status == RECLAIM_DONE)

    def reclaim_2_4_0(self, wish: int) -> Steps:
        """Reclaim by the task: what its allocation asks for, or kswapd's round if there is no kswapd."""
        k, t, task = self.k, self.index, self.record
        self.enter()
        k.vmstat[task.alloc_node, ALLOCSTALL] += 1
        if wish == ALLOC_RECLAIM:
            _reclaim_begin_2_4_0(k, t)
            yield from self.run_reclaim(_reclaim_run_2_4_0)
            return
        task.flags |= PF_MEMALLOC
        _try_to_free_pages_begin(k, t, task.alloc_gfp, 1)
        yield from self.run_reclaim(_reclaim_run_2_4_0)
        if not task.killed:
            task.flags &= ~PF_MEMALLOC
        self.enter()
        if _free_shortage(k) and _inactive_shortage(k) and _out_of_memory(k):
            _oom_kill(k)
            self.machine.attend()

    def run_reclaim(self, run: Any) -> Steps:
        """Go on with a reclaim until it is over; how it ended."""
        task = self.record
        status = RECLAIM_YIELD
        while status in (RECLAIM_YIELD, RECLAIM_WAIT):
            self.enter()
            task.cost_ns = 0
            status = run(self.k, self.index)
            cost_ns = task.cost_ns
            self.machine.attend()
            if status == RECLAIM_WAIT:
                yield from self.wait_on_page(PART_DIRECT_RECLAIM, cost_ns, PART_DIRECT_RECLAIM)
            else:
                yield from self.work(cost_ns, PART_DIRECT_RECLAIM)
                if status == RECLAIM_YIELD:
                    yield from self.give_way()
        return status
