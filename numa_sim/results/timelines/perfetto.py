"""A timeline as a Perfetto trace: TrackEvents, https://perfetto.dev/docs/reference/synthetic-track-event.

Everything is one packet sequence.  Its first packet carries all names once (interned), then come the tracks, then the
events of one track after the other; times are simulated nanoseconds.  The same run gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from numa_sim.results.timelines.protobuf import fixed64, message, number, real, text, varint
from numa_sim.results.timelines.tracks import GROUPS, Instant, Slice, Track, tracks_of

if TYPE_CHECKING:
    from numa_sim.results.run import Run

__all__ = ["perfetto_trace"]

_SEQUENCE: Final = 1
# Trace
_PACKET: Final = 1
# TracePacket
_TIMESTAMP, _SEQUENCE_ID, _TRACK_EVENT, _INTERNED_DATA, _SEQUENCE_FLAGS, _TRACK_DESCRIPTOR = 8, 10, 11, 12, 13, 60
_STATE_CLEARED, _NEEDS_STATE = 1, 2
# TrackDescriptor, CounterDescriptor
_UUID, _NAME, _PARENT_UUID, _COUNTER, _CHILD_ORDERING, _SIBLING_RANK = 1, 2, 5, 8, 11, 12
_EXPLICIT = 3
_UNIT, _UNIT_NAME = 3, 6
_UNITS: Final = {"ns": number(_UNIT, 1), "pages": number(_UNIT, 2) + text(_UNIT_NAME, "pages")}
# TrackEvent
_DEBUG_ANNOTATIONS, _TYPE, _NAME_IID, _TRACK_UUID, _COUNTER_VALUE, _DOUBLE_VALUE = 4, 9, 10, 11, 30, 44
_FLOW_IDS, _TERMINATING_FLOW_IDS = 47, 48
_SLICE_BEGIN, _SLICE_END, _INSTANT, _COUNTER_TYPE = 1, 2, 3, 4
# DebugAnnotation, InternedData and its entries
_ANNOTATION_NAME_IID, _INT_VALUE, _STRING_VALUE = 1, 4, 6
_EVENT_NAMES, _ANNOTATION_NAMES = 2, 3
_IID, _INTERNED_NAME = 1, 2


def perfetto_trace(run: Run) -> bytes:
    """The timeline of a run as the bytes of a ``perfetto.protos.Trace``.

    Raises
    ------
    RunFolderError
        If the run recorded no timeline.
    """
    return b"".join(_packets(tracks_of(run)))


def _packets(tracks: list[Track]) -> Iterator[bytes]:
    names = _Names(tracks)
    yield message(
        _PACKET,
        number(_SEQUENCE_ID, _SEQUENCE)
        + number(_SEQUENCE_FLAGS, _STATE_CLEARED)
        + message(_INTERNED_DATA, names.interned()),
    )
    for group, name in enumerate(GROUPS):
        yield _descriptor(group + 1, 0, name, group)
    uuid = outer = len(GROUPS)
    for track in tracks:
        uuid += 1
        if not track.inner:
            outer = uuid
        parent = outer if track.inner else track.group + 1
        counter = None
        if track.unit:
            counter = _UNITS.get(track.unit) or text(_UNIT_NAME, track.unit)
        yield _descriptor(uuid, parent, track.name, uuid, counter)
    for uuid, track in enumerate(tracks, len(GROUPS) + 1):
        yield from _events(uuid, track, names)


def _descriptor(uuid: int, parent: int, name: str, rank: int, counter: bytes | None = None) -> bytes:
    content = number(_UUID, uuid) + text(_NAME, name) + number(_CHILD_ORDERING, _EXPLICIT) + number(_SIBLING_RANK, rank)
    if parent:
        content += number(_PARENT_UUID, parent)
    if counter is not None:
        content += message(_COUNTER, counter)
    return message(_PACKET, number(_SEQUENCE_ID, _SEQUENCE) + message(_TRACK_DESCRIPTOR, content))


class _Names:
    """Numbers for the names of events and arguments."""

    def __init__(self, tracks: list[Track]) -> None:
        events: dict[str, None] = {}
        arguments: dict[str, None] = {}
        for track in tracks:
            happenings: list[Slice | Instant] = [*track.slices, *track.instants]
            for one in happenings:
                events[one.name] = None
                for name, _ in one.arguments:
                    arguments[name] = None
        self._events = {name: number(_NAME_IID, iid) for iid, name in enumerate(events, 1)}
        self._arguments = {name: number(_ANNOTATION_NAME_IID, iid) for iid, name in enumerate(arguments, 1)}
        self._annotations: dict[tuple[str, int | str], bytes] = {}

    def interned(self) -> bytes:
        """InternedData."""
        return b"".join(
            message(where, number(_IID, iid) + text(_INTERNED_NAME, name))
            for where, names in ((_EVENT_NAMES, self._events), (_ANNOTATION_NAMES, self._arguments))
            for iid, name in enumerate(names, 1)
        )

    def of(self, one: Slice | Instant) -> bytes:
        """Name and arguments of an event, as fields of a TrackEvent."""
        return b"".join((self._events[one.name], *map(self._annotation, one.arguments)))

    def _annotation(self, argument: tuple[str, int | str]) -> bytes:
        known = self._annotations.get(argument)
        if known is None:
            name, value = argument
            content = text(_STRING_VALUE, value) if isinstance(value, str) else number(_INT_VALUE, value)
            known = self._annotations[argument] = message(_DEBUG_ANNOTATIONS, self._arguments[name] + content)
        return known


_TIMESTAMP_TAG: Final = varint(_TIMESTAMP << 3)
_TAIL: Final = number(_SEQUENCE_ID, _SEQUENCE) + number(_SEQUENCE_FLAGS, _NEEDS_STATE)


def _event(t_ns: int, content: bytes) -> bytes:
    return message(_PACKET, _TIMESTAMP_TAG + varint(t_ns) + message(_TRACK_EVENT, content) + _TAIL)


def _events(uuid: int, track: Track, names: _Names) -> Iterator[bytes]:
    """The events of a track in order of time; at one instant, what ends comes before what begins."""
    begin, end, instant, counter = (
        number(_TYPE, kind) + number(_TRACK_UUID, uuid) for kind in (_SLICE_BEGIN, _SLICE_END, _INSTANT, _COUNTER_TYPE)
    )
    open_until: list[int] = []
    instants = iter(track.instants)
    coming = next(instants, None)
    for one in (*track.slices, None):
        until_ns = one.begin_ns if one is not None else _NEVER
        while (open_until and open_until[-1] <= until_ns) or (coming is not None and coming.t_ns < until_ns):
            if coming is not None and (not open_until or coming.t_ns <= open_until[-1]):
                flow = fixed64(_TERMINATING_FLOW_IDS, coming.ends) if coming.ends else b""
                yield _event(coming.t_ns, instant + names.of(coming) + flow)
                coming = next(instants, None)
            else:
                yield _event(open_until.pop(), end)
        if one is not None:
            flows = b"".join(fixed64(_FLOW_IDS, flow) for flow in one.flows)
            yield _event(one.begin_ns, begin + names.of(one) + flows)
            open_until.append(one.end_ns)
    for t_ns, value in track.counter:
        field = number(_COUNTER_VALUE, value) if isinstance(value, int) else real(_DOUBLE_VALUE, value)
        yield _event(t_ns, counter + field)


_NEVER: Final = 1 << 63
