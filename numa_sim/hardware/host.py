"""Two things the host's instructions say and Python has no word for; plain Python says them its own way."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.core.extending import intrinsic

from numa_sim.compiled import COMPILED


def _lowest_bit(typing_context: Any, word: Any) -> Any:
    """Number of the lowest bit set in `word`, which is not 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return word(word), generate


def _plain_lowest_bit(word: int) -> int:
    return (int(word) & -int(word)).bit_length() - 1


def _an_index(typing_context: Any, number: Any) -> Any:
    """`number`, of which the compiler may believe that it is 0 or more."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function_type = ir.FunctionType(ir.VoidType(), [ir.IntType(1)])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.assume")
        builder.call(function, [builder.icmp_signed(">=", args[0], ir.Constant(args[0].type, 0))])
        return args[0]

    return number(number), generate


def _plain_index(number: int) -> int:
    return number


lowest_bit: Any = intrinsic(_lowest_bit) if COMPILED else _plain_lowest_bit
"""``lowest_bit(word)``: number of the lowest bit set in a word other than 0."""
an_index: Any = intrinsic(_an_index) if COMPILED else _plain_index
"""``an_index(i)``: `i`, promised not to be negative, so that it needs no test for counting from an array's end."""
