"""Access patterns of a ``touch`` operation, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from numa_sim.config.quantities import Section

MAX_ACCESSES = 10**12

Accesses = Annotated[int, Field(ge=1, le=MAX_ACCESSES)]


class Sequential(Section):
    """Page after page, from the first again after the last."""

    kind: Literal["sequential"]


class Strided(Section):
    """Every `stride`-th page, wrapping around."""

    kind: Literal["strided"]
    stride: int = Field(ge=1, le=1 << 35, description="pages from one access to the next")


class Uniform(Section):
    """Every page as likely as any other."""

    kind: Literal["uniform"]


class Zipf(Section):
    """Page of rank r drawn in proportion to r ** -s."""

    kind: Literal["zipf"]
    s: float = Field(gt=0.0, le=10.0, description="exponent: 0.99 is the classic key-value skew")
    scramble: bool = Field(True, description="spread the popular pages over the region; false: lowest pages first")


class PointerChase(Section):
    """One cycle through all pages in a random order: each access names the next."""

    kind: Literal["pointer_chase"]


class Phase(Section):
    """One phase of `Phases`."""

    pattern: Pattern = Field(description="pattern of this phase")
    accesses: Accesses = Field(description="accesses before the next phase begins")


class Phases(Section):
    """Patterns one after the other, from the first again after the last."""

    kind: Literal["phases"]
    phases: Annotated[tuple[Phase, ...], Field(strict=False)] = Field(
        min_length=1, max_length=1000, description="in order"
    )


class Part(Section):
    """One part of `Mix`."""

    weight: float = Field(gt=0.0, le=1e9, description="share of the accesses, in relation to the other parts")
    pattern: Pattern = Field(description="pattern of this part")


class Mix(Section):
    """Each access drawn from one of several patterns."""

    kind: Literal["mix"]
    parts: Annotated[tuple[Part, ...], Field(strict=False)] = Field(
        min_length=1, max_length=1000, description="drawn from"
    )


Pattern = Annotated[
    Sequential | Strided | Uniform | Zipf | PointerChase | Phases | Mix,
    Field(discriminator="kind"),
]
for _model in (Phase, Phases, Part, Mix):
    _model.model_rebuild()
