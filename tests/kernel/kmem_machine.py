"""A booted machine whose kernel memory tests use, without processes: allocations that must wait fail the test."""

from __future__ import annotations

from numa_sim.compiled import entry
from numa_sim.kernel import gfp
from numa_sim.kernel.bootmem import boot
from numa_sim.kernel.debug_kmem import check_slabs
from numa_sim.kernel.debug_problems import PROBLEMS
from numa_sim.kernel.debug_vm import check_frames
from numa_sim.kernel.geometry import GEOMETRIES, use_geometry
from numa_sim.kernel.slab import grow, kmalloc, objects, reap
from numa_sim.kernel.slab.cache import kmem_cache_init
from numa_sim.kernel.vmalloc import vmalloc_init
from numa_sim.state.constants import TASK_RUNNING
from numa_sim.state.kernel import Kernel, Sizes, new_kernel

TASK = 2

kmem_cache_alloc = entry(grow.kmem_cache_alloc)
kmem_cache_free = entry(objects.kmem_cache_free)
kmem_cache_reap = entry(reap.kmem_cache_reap)
kmalloc_bytes = entry(kmalloc.kmalloc)
kfree = entry(objects.kfree)
get_free_pages = entry(gfp.get_free_pages)
get_zeroed_page = entry(gfp.get_zeroed_page)
alloc_page = entry(gfp.alloc_page)
free_kernel_pages = entry(gfp.free_kernel_pages)
_check_frames = entry(check_frames)
_check_slabs = entry(check_slabs)


def booted(
    cpus: int = 1,
    nodes: int = 1,
    mib: int = 24,
    profile: str = "linux-2.4.37",
    arch: str = "i386",
    mmu: str = "",
    **sizes: int,
) -> Kernel:
    """`nodes` nodes of `mib` MiB; CPU c is on node c % nodes; task 2 runs on CPU 0; the kmalloc caches exist."""
    frames = mib * 256
    geometry = GEOMETRIES[mmu or arch]
    k = new_kernel(
        Sizes(
            nodes=nodes, cpus=cpus, frames=nodes * frames, events=4096, table_entries=1 << geometry.entry_bits, **sizes
        )
    )
    use_geometry(k, geometry.name)
    distance = [[10 if i == j else 20 for j in range(nodes)] for i in range(nodes)]
    boot(k, [(i * frames, frames) for i in range(nodes)], arch, profile, "strict24", distance)
    k.cpus.node = [cpu % nodes for cpu in range(cpus)]
    k.tasks[TASK].state = TASK_RUNNING
    k.vm[0].current_task, k.vm[0].current_cpu = TASK, 0
    kmem_cache_init(k)
    vmalloc_init(k)
    return k


def slabs_sound(k: Kernel) -> None:
    """Every slab cache is in order."""
    assert _check_slabs(k) == (0, 0)
    assert k.vm[0].bug == 0


def sound(k: Kernel) -> None:
    """Every frame, list and slab is in order."""
    problem, where = _check_frames(k)
    assert problem == 0, (PROBLEMS[problem], where)
    assert k.vm[0].bug == 0
