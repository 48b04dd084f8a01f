"""Tell the host's caches what a rule will want next.

The access buffer says which page-table entries a task is about to use, the buddy lists which page records; those of a
simulated gigabyte do not fit a host core's caches.  Without prefetching, every random access waits for host memory.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic
from numba.np.arrayobj import make_array

from numa_sim.compiled import COMPILED


def _prefetch(typing_context: Any, array: Any, place: Any) -> Any:
    """Start loading ``array[place]`` into the host's caches; nothing else."""
    signature = types.void(array, place)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array_type, place_type = signature.args
        value = make_array(array_type)(context, builder, args[0])
        indices = [
            context.cast(builder, index, place_type.dtype, types.intp)
            for index in cgutils.unpack_tuple(builder, args[1], place_type.count)
        ]
        pointer = cgutils.get_item_pointer(context, builder, array_type, value, indices, wraparound=False)
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        builder.call(function, [builder.bitcast(pointer, byte), flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return signature, generate


def _no_prefetch(array: Any, place: tuple[int, ...]) -> None:
    """Plain Python: nothing to do."""


prefetch: Any = intrinsic(_prefetch) if COMPILED else _no_prefetch
"""``prefetch(array, (i, j))``: start loading one element."""
