"""Teach numba what a `Kernel` is: one address.

Handing a compiled function forty arrays means two hundred and fifty machine arguments at every call and minutes of
compiling.  So a compiled rule receives the address of ``Kernel.directory`` alone, and ``k.pages`` reads that array's
place and shape from there.  The arrays belong to the `Kernel` object, which outlives every call, so nothing is
reference-counted.
"""

from __future__ import annotations

import operator
from functools import cache
from typing import Any

from llvmlite import ir
from numba import typeof, types
from numba.core import cgutils
from numba.core.extending import NativeValue, lower_builtin, models, register_model, typeof_impl, unbox
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.np.arrayobj import basic_indexing, load_item, make_array, make_view, populate_array, store_item

from numa_sim import rule_cache
from numa_sim.rule_calls import declared_types
from numa_sim.state.constants import ACCESS_BUFFER
from numa_sim.state.counters import TIME_PARTS, VMSTAT
from numa_sim.state.kernel import ARRAYS, Kernel, Sizes, new_kernel

_SLOTS = 4
_COLUMNS = {"vmstat": len(VMSTAT), "time_parts": len(TIME_PARTS), "accesses": ACCESS_BUFFER}
"""Last dimensions that are the same in every machine: known to the compiler, not looked up."""


class KernelType(types.Type):
    """numba's type of a `Kernel`."""

    def __init__(self) -> None:
        super().__init__(name="Kernel")


class StateArray(types.Array):
    """numba's type of a state array, or of a part of one: an array whose indexes are never negative.

    Python counts negative indexes from the end, so numba tests each for its sign.  No rule counts so (a test watches
    plain runs), and without those tests a fault takes a tenth less time, and compiling too.
    """

    def __init__(self, dtype: Any, ndim: int, layout: str) -> None:
        super().__init__(dtype, ndim, layout, name=f"state array({dtype}, {ndim}d, {layout})")

    def copy(self, dtype: Any = None, ndim: Any = None, layout: Any = None, readonly: Any = None) -> StateArray:
        """Type of a part of this array."""
        return StateArray(dtype or self.dtype, self.ndim if ndim is None else ndim, layout or self.layout)


register_model(StateArray)(models.ArrayModel)


def _place(context: Any, builder: Any, array_type: Any, array: Any, index_type: Any, index: Any) -> Any:
    """Address of the indexed part of an array, with its shape and strides if it is more than one element."""
    index_types, indices = [index_type], [index]
    if isinstance(index_type, types.BaseTuple):
        index_types, indices = list(index_type.types), cgutils.unpack_tuple(builder, index, len(index_type))
    for axis, one in enumerate(index_types):
        if isinstance(one, types.Integer):
            indices[axis] = context.cast(builder, indices[axis], one, types.intp)
            index_types[axis] = types.uintp
    return basic_indexing(context, builder, array_type, array, index_types, indices)


@lower_builtin(operator.getitem, StateArray, types.Integer)
@lower_builtin(operator.getitem, StateArray, types.BaseTuple)
def _getitem(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    array_type, index_type = signature.args
    array = make_array(array_type)(context, builder, args[0])
    pointer, shape, strides = _place(context, builder, array_type, array, index_type, args[1])
    if not shape:
        return load_item(context, builder, array_type, pointer)
    view = make_view(context, builder, array_type, array, signature.return_type, pointer, shape, strides)
    return view._getvalue()


@lower_builtin(operator.setitem, StateArray, types.Integer, types.Any)
@lower_builtin(operator.setitem, StateArray, types.BaseTuple, types.Any)
def _setitem(context: Any, builder: Any, signature: Any, args: Any) -> None:
    array_type, index_type, value_type = signature.args
    array = make_array(array_type)(context, builder, args[0])
    pointer, shape, _ = _place(context, builder, array_type, array, index_type, args[1])
    assert not shape, "rules set one element at a time"
    value = context.cast(builder, args[2], value_type, array_type.dtype)
    store_item(context, builder, array_type, value, pointer)


@cache
def _array_types() -> dict[str, StateArray]:
    """Type of each array, taken from a machine of one frame."""
    k = new_kernel(Sizes(1, 1, 1, tables=1))
    assert all(getattr(k, name).shape[-1] == columns for name, columns in _COLUMNS.items())
    return {name: StateArray(typeof(getattr(k, name)).dtype, getattr(k, name).ndim, "C") for name in ARRAYS}


kernel_type = KernelType()
declared_types["Kernel"] = kernel_type


@typeof_impl.register(Kernel)
def _typeof_kernel(value: Any, context: Any) -> KernelType:
    return kernel_type


@register_model(KernelType)
class _KernelModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, ir.IntType(64))


@unbox(KernelType)
def _unbox_kernel(numba_type: Any, value: Any, c: Any) -> NativeValue:
    address = c.pyapi.object_getattr_string(value, "address")
    native = c.pyapi.long_as_longlong(address)
    c.pyapi.decref(address)
    return NativeValue(native)


@cache
def _state_layout() -> dict[str, str]:
    """What the machine code of a rule that reads an array knows of it."""
    return {
        name: f"{ARRAYS.index(name)} {array_type} {_COLUMNS.get(name, '')}"
        for name, array_type in _array_types().items()
    }


rule_cache.state_layout = _state_layout


@infer_getattr
class _KernelAttributes(AttributeTemplate):
    key = KernelType

    def generic_resolve(self, numba_type: Any, name: str) -> Any:
        return _array_types().get(name)


@lower_getattr_generic(KernelType)
def _lower_array(context: Any, builder: Any, numba_type: Any, value: Any, name: str) -> Any:
    array_type = _array_types()[name]
    word = ir.IntType(64)
    directory = builder.inttoptr(value, word.as_pointer())
    at = ARRAYS.index(name) * _SLOTS

    def load(slot: int) -> Any:
        return builder.load(builder.gep(directory, [ir.Constant(word, at + slot)]))

    array = make_array(array_type)(context, builder)
    itemsize = ir.Constant(word, context.get_abi_sizeof(context.get_data_type(array_type.dtype)))
    shape = [load(1 + axis) for axis in range(array_type.ndim)]
    if name in _COLUMNS:
        shape[-1] = ir.Constant(word, _COLUMNS[name])
    strides = [itemsize]
    for extent in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], extent))
    populate_array(
        array,
        data=builder.inttoptr(load(0), array.data.type),
        shape=shape,
        strides=strides,
        itemsize=itemsize,
        meminfo=None,
    )
    return array._getvalue()
