"""Teach numba what a `Kernel` is: one address.

Handing a compiled function forty arrays means two hundred and fifty machine arguments at every call and minutes of
compiling.  So a compiled rule receives the address of ``Kernel.directory`` alone, and ``k.pages`` reads that array's
place and shape from there.  The arrays belong to the `Kernel` object, which outlives every call, so nothing is
reference-counted.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from llvmlite import ir
from numba import typeof, types
from numba.core.extending import NativeValue, models, register_model, typeof_impl, unbox
from numba.core.imputils import lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.np.arrayobj import make_array, populate_array

from numa_sim import rule_cache
from numa_sim.rule_calls import declared_types
from numa_sim.state.kernel import ARRAYS, Kernel, Sizes, new_kernel

_SLOTS = 4


class KernelType(types.Type):
    """numba's type of a `Kernel`."""

    def __init__(self) -> None:
        super().__init__(name="Kernel")


@cache
def _array_types() -> dict[str, types.Array]:
    """Type of each array, taken from a machine of one frame."""
    k = new_kernel(Sizes(1, 1, 1, tables=1))
    return {name: types.Array(typeof(getattr(k, name)).dtype, getattr(k, name).ndim, "C") for name in ARRAYS}


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
    return {name: f"{ARRAYS.index(name)} {array_type}" for name, array_type in _array_types().items()}


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
