"""How many structures of each kind the kernel has, and the objects of slab caches they take.

Plain functions, called at the beginning of every operation of a program where ``vm.slab_objects`` is set.
"""

from __future__ import annotations

import numpy as np

from numa_sim.compiled import entry
from numa_sim.kernel.dcache import d_lookup, dget, dput
from numa_sim.kernel.slab.kernel_caches import BH_CACHE, FILP_CACHE, MM_CACHE, VM_AREA_CACHE, own_objects
from numa_sim.state.constants import GFP_ATOMIC
from numa_sim.state.kernel import Kernel

_own_objects = entry(own_objects)
_d_lookup = entry(d_lookup)
_dget = entry(dget)
_dput = entry(dput)


def count_structures(k: Kernel) -> dict[int, int]:
    """Memory areas, address spaces, open files and buffer heads there are, by the row of their slab cache."""
    used = k.mms.used[1:] != 0
    return {
        VM_AREA_CACHE: int(k.mms.map_count[1:][used].sum()),
        MM_CACHE: int(used.sum()),
        FILP_CACHE: int((k.files.f_count != 0).sum()),
        BH_CACHE: int(k.vm[0].nr_buffers_type.sum()),
    }


def follow_structures(k: Kernel) -> None:
    """Bring the objects of the kernel's own caches up to date, with the dentries and inodes of open files."""
    for cache, wanted in count_structures(k).items():
        if k.kmem_caches[cache].allocs - k.kmem_caches[cache].frees != wanted:
            _own_objects(k, cache, wanted)
    names = min(len(k.mappings), len(k.dentries))
    is_named = np.zeros(names, np.bool_)
    opened = k.files.f_mapping[k.files.f_count != 0]
    is_named[opened[opened < names]] = True
    for name in np.flatnonzero(is_named != (k.dentries.d_count[:names] > 0)).tolist():
        if not is_named[name]:
            _dput(k, name)
        elif _d_lookup(k, max(int(k.vm[0].current_task), 0), name, GFP_ATOMIC) == 0:
            _dget(k, name)
