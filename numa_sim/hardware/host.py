"""An instruction of the host that Python has no word for."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core.extending import intrinsic

from numa_sim.compiled import COMPILED


def _lowest_bit(typing_context: Any, word: Any) -> Any:
    """Number of the lowest bit set in `word`, which is not 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return word(word), generate


def _plain_lowest_bit(word: int) -> int:
    return (int(word) & -int(word)).bit_length() - 1


lowest_bit: Any = intrinsic(_lowest_bit) if COMPILED else _plain_lowest_bit
"""``lowest_bit(word)``: number of the lowest bit set in a word other than 0."""
