"""The bytes of a state file: `Turns` with a checksum, so that a torn or garbled file is noticed.

    unpack(pack(turns, boot), boot, now_s) == turns

Times are of the monotonic clock, which every process of the machine shares and which no clock correction moves. It
starts anew with the machine, so the bytes name the boot they belong to.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Optional

from cio_fdw.throttle.turns import MAX_PAUSE_S, MAX_PLACES, Place, Turns

MAX_SENT = 1000
"""The most that requests_per_second allows."""

_HEAD = struct.Struct("<8s16sdQQIII")
_CRC = struct.Struct("<I")
_PLACE = struct.Struct("<QQId")
_FLOW = struct.Struct("<IQ")
_TIME = struct.Struct("<d")
_MAGIC = b"cioturn1"
_NUMBERS = 2**63

SIZE_BYTES = 128 * 1024
"""Reserved when the file is made, so that a disk that fills up later cannot stop the requests."""


def pack(turns: Turns, boot: bytes) -> bytes:
    """At most SIZE_BYTES."""
    sent_s = turns.sent_s[-MAX_SENT:]
    flows = list(turns.next_round.items())[-MAX_PLACES:]
    counts = len(sent_s), len(turns.places), len(flows)
    parts = [_HEAD.pack(_MAGIC, boot, turns.paused_until_s, turns.round, turns.next_ticket, *counts)]
    parts += [struct.pack(f"<{len(sent_s)}d", *sent_s)]
    parts += [_PLACE.pack(*place) for place in turns.places]
    parts += [_FLOW.pack(*flow) for flow in flows]
    body = b"".join(parts)
    return _CRC.pack(zlib.crc32(body)) + body


def unpack(data: bytes, boot: bytes, now_s: float) -> Optional[Turns]:
    """The state in `data`; None when it is not whole, of another boot, or cannot be of `now_s`."""
    try:
        return _unpacked(data, boot, now_s)
    except struct.error:
        return None


def _unpacked(data: bytes, boot: bytes, now_s: float) -> Optional[Turns]:
    (crc,) = _CRC.unpack_from(data)
    body = memoryview(data)[_CRC.size :]
    magic, of_boot, paused_until_s, round_, next_ticket, n_sent, n_places, n_flows = _HEAD.unpack_from(body)
    places_at = _HEAD.size + n_sent * _TIME.size
    flows_at = places_at + n_places * _PLACE.size
    end = flows_at + n_flows * _FLOW.size
    if magic != _MAGIC or of_boot != boot or end > len(body) or zlib.crc32(body[:end]) != crc:
        return None
    turns = Turns(
        sent_s=list(struct.unpack_from(f"<{n_sent}d", body, _HEAD.size)),
        paused_until_s=paused_until_s,
        round=round_,
        next_ticket=next_ticket,
        next_round=dict(_FLOW.iter_unpack(body[flows_at:end])),
        places=list(map(Place._make, _PLACE.iter_unpack(body[places_at:flows_at]))),
    )
    return turns if _is_sane(turns, now_s) else None


def _is_sane(turns: Turns, now_s: float) -> bool:
    """Whether the numbers can have been written before `now_s`: a checksum is no protection from bad ones."""
    counts = (turns.round, turns.next_ticket, *turns.next_round.values(), *(place.round for place in turns.places))
    return (
        turns.paused_until_s <= now_s + MAX_PAUSE_S
        and all(sent_s <= now_s for sent_s in turns.sent_s)
        and turns.sent_s == sorted(turns.sent_s)
        and turns.places == sorted(turns.places)
        and all(math.isfinite(place.look_s) and place.look_s <= now_s + MAX_PAUSE_S for place in turns.places)
        and max(counts) < _NUMBERS
    )
