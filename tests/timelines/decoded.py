"""A Perfetto trace as its own library reads it, put together by the rules of the format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TracePacket, TrackEvent


@dataclass
class Slice:
    begin: int
    name: str
    arguments: dict[str, Any]
    flows: list[int]
    depth: int
    end: int = -1
    inner: list[Slice] = field(default_factory=list)


@dataclass
class Instant:
    t: int
    name: str
    arguments: dict[str, Any]
    ends: list[int]


@dataclass
class Track:
    uuid: int
    name: str
    parent: str
    roots: list[Slice] = field(default_factory=list)
    slices: list[Slice] = field(default_factory=list)
    instants: list[Instant] = field(default_factory=list)
    counter: list[tuple[int, float]] = field(default_factory=list)
    is_counter: bool = False


def decode(data: bytes) -> dict[str, Track]:
    """Tracks by name; asserts what every trace must fulfil."""
    trace = Trace()
    trace.ParseFromString(data)
    assert trace.SerializeToString(deterministic=True)
    first = trace.packet[0]
    assert first.sequence_flags & TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
    names = {entry.iid: entry.name for entry in first.interned_data.event_names}
    words = {entry.iid: entry.name for entry in first.interned_data.debug_annotation_names}
    tracks: dict[int, Track] = {}
    open_slices: dict[int, list[Slice]] = {}
    last: dict[int, int] = {}
    for packet in trace.packet:
        assert packet.trusted_packet_sequence_id == 1
        if packet.HasField("track_descriptor"):
            described = packet.track_descriptor
            assert described.uuid not in tracks
            parent = tracks[described.parent_uuid].name if described.parent_uuid else ""
            tracks[described.uuid] = Track(described.uuid, described.name, parent)
            tracks[described.uuid].is_counter = described.HasField("counter")
        if packet.HasField("track_event"):
            assert packet.sequence_flags & TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
            event, t = packet.track_event, packet.timestamp
            track = tracks[event.track_uuid]
            assert t >= last.get(track.uuid, 0), "events of a track are in order of time"
            last[track.uuid] = t
            _take(track, event, t, open_slices.setdefault(track.uuid, []), names, words)
    assert not any(open_slices.values()), "whatever begins, ends"
    assert len({track.name for track in tracks.values()}) == len(tracks)
    return {track.name: track for track in tracks.values()}


def _take(track: Track, event: Any, t: int, stack: list[Slice], names: dict[int, str], words: dict[int, str]) -> None:
    assert track.is_counter == (event.type == TrackEvent.TYPE_COUNTER)
    arguments = {words[a.name_iid]: getattr(a, a.WhichOneof("value")) for a in event.debug_annotations}
    if event.type == TrackEvent.TYPE_COUNTER:
        value = event.double_counter_value if event.HasField("double_counter_value") else event.counter_value
        track.counter.append((t, value))
    elif event.type == TrackEvent.TYPE_INSTANT:
        track.instants.append(Instant(t, names[event.name_iid], arguments, list(event.terminating_flow_ids)))
    elif event.type == TrackEvent.TYPE_SLICE_BEGIN:
        one = Slice(t, names[event.name_iid], arguments, list(event.flow_ids), len(stack))
        (stack[-1].inner if stack else track.roots).append(one)
        track.slices.append(one)
        stack.append(one)
    else:
        assert event.type == TrackEvent.TYPE_SLICE_END
        stack.pop().end = t
