"""Decides which small messages of one loop turn travel as one: requests on one topic, or answers, to one peer.

A message by itself costs a frame, a place in the outbox, an entry for its acknowledgement and an envelope, at both
ends; one in a bundle costs twelve bytes, and the CBOR of all is read in one pass. What leaves in the same turn shares a
datagram anyway: so a bundle, which is no longer than a datagram, loses nothing by a loss that its messages would not
have lost by themselves, and none of them waits for another.

Only plain values take part (see `guthi.values.plain`): they can always be read, so no message spoils its bundle. A
message that is alone in its turn travels as ever. Behind the envelope, whose request id is the count n, there are

    n x request id u64 | n x timeout in ms u32 (requests only) | the CBOR of a list of n values
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import repeat
from struct import Struct
from typing import Any

from guthi.api import Buffer, NodeId
from guthi.errors import MalformedMessage, PeerLost
from guthi.messages.envelope import REPLIES, REPLY, REQUEST, REQUESTS, check_sendable, pack
from guthi.messages.exchange import Wire
from guthi.transport.links import Posted
from guthi.values.codec import Codec

__all__ = ["BUNDLED_BYTES", "MAX_BUNDLED", "Bundles", "read_bundle"]

BUNDLED_BYTES = 512  # longer values travel by themselves: what a message costs is little beside them
MAX_BUNDLED = 4096  # messages in one bundle
_ID_BYTES, _TIMEOUT_BYTES = 8, 4
_COST_BYTES = _ID_BYTES + _TIMEOUT_BYTES
_LIST_HEAD_BYTES = 3


class _Collected:
    """What has been collected of one kind, REQUEST or REPLY, since the last flush, in columns."""

    __slots__ = ("ids", "kind", "left_bytes", "timeouts_ms", "values")

    def __init__(self, kind: int, request_id: int, timeout_ms: int, value: bytes) -> None:
        self.kind = kind
        self.ids, self.timeouts_ms, self.values = [request_id], [timeout_ms], [value]
        self.left_bytes: int | None = None  # asked for when there is a second message

    def packed(self, topic: str) -> list[Buffer]:
        """The message that has them all."""
        ids = self.ids
        count = len(ids)
        if count == 1:
            return [pack(self.kind, topic, ids[0], self.timeouts_ms[0]), Codec.body_of(self.values[0])]
        if self.kind == REPLY:
            return [pack(REPLIES, "", count), _ids(count).pack(*ids), _list_head(count), *self.values]
        timeouts_ms = _timeouts(count).pack(*self.timeouts_ms)
        return [pack(REQUESTS, topic, count), _ids(count).pack(*ids), timeouts_ms, _list_head(count), *self.values]


class Bundles:
    """The messages of one node that have not left in this turn.

    `left` is told of requests that have left, with what `post` returned where one was alone; `lost` of those that
    cannot leave.
    """

    def __init__(
        self,
        wire: Wire,
        left: Callable[[int, Posted], None],
        lost: Callable[[Sequence[int], PeerLost], None],
    ) -> None:
        self._wire, self._left, self._lost = wire, left, lost
        self._open: dict[tuple[NodeId, str], _Collected] = {}  # by the peer and the topic, which answers have not

    def put(self, peer: NodeId, kind: int, topic: str, request_id: int, timeout_ms: int, value: bytes) -> bool:
        """Take a message along; False where it has to be sent by itself. Raises UsageError for a topic that is none."""
        cost_bytes = len(value) + _COST_BYTES
        if cost_bytes > BUNDLED_BYTES:
            return False
        opened = self._open
        collected = opened.get((peer, topic))
        if collected is not None:
            left_bytes = collected.left_bytes
            if left_bytes is None:
                left_bytes = self._room_bytes(peer, topic, collected)
            if left_bytes >= cost_bytes:
                collected.left_bytes = left_bytes - cost_bytes
                collected.ids.append(request_id)
                collected.timeouts_ms.append(timeout_ms)
                collected.values.append(value)
                return True
            self._send(peer, topic, opened.pop((peer, topic)))
        elif topic:
            check_sendable(topic)
        if not opened:
            self._wire.collect()
        opened[peer, topic] = _Collected(kind, request_id, timeout_ms, value)
        return True

    def _room_bytes(self, peer: NodeId, topic: str, collected: _Collected) -> int:
        """For further messages, beside the one that was collected."""
        room_bytes = self._wire.room_bytes(peer) - len(pack(collected.kind, topic, 0)) - _LIST_HEAD_BYTES
        return min(room_bytes, MAX_BUNDLED * _COST_BYTES) - len(collected.values[0]) - _COST_BYTES

    def take_back(self, peer: NodeId, topic: str, request_id: int) -> bool:
        """Drop a request that has not left yet; False when it has."""
        collected = self._open.get((peer, topic))
        if collected is None or request_id not in collected.ids:
            return False
        place = collected.ids.index(request_id)
        del collected.ids[place], collected.timeouts_ms[place], collected.values[place]
        if not collected.ids:
            del self._open[peer, topic]
        return True

    def before(self, peer: NodeId) -> None:
        """A message that asks for something is about to leave by itself: what was said before it goes before it."""
        if self._open:
            for key in [key for key in self._open if key[0] == peer]:
                self._send(*key, self._open.pop(key))

    def flush(self) -> None:
        """The turn ends: all that was collected leaves, in the order in which it was begun."""
        opened = self._open
        if opened:
            self._open = {}
            for (peer, topic), collected in opened.items():
                self._send(peer, topic, collected)

    def _send(self, peer: NodeId, topic: str, collected: _Collected) -> None:
        try:
            posted = self._wire.post(peer, collected.packed(topic))
        except PeerLost as error:
            if collected.kind == REQUEST:
                self._lost(collected.ids, error)
            return
        if posted is not None and len(collected.ids) == 1 and collected.kind == REQUEST:
            self._left(collected.ids[0], posted)


def read_bundle(kind: int, count: int, content: memoryview, codec: Codec) -> Iterator[tuple[int, int, Any]]:
    """The id, the timeout in ms (0: none) and the value of each message; raises MalformedMessage, before the first."""
    if not 0 < count <= MAX_BUNDLED:
        raise MalformedMessage(f"a bundle of {count} messages")
    ids_bytes = count * _ID_BYTES
    head_bytes = ids_bytes + count * _TIMEOUT_BYTES if kind == REQUESTS else ids_bytes
    if len(content) < head_bytes:
        raise MalformedMessage("a bundle is cut short")
    values = codec.decode_without_parts(content[head_bytes:])
    if type(values) is not list or len(values) != count:
        raise MalformedMessage("a bundle has not as many values as messages")
    timeouts_ms = _timeouts(count).unpack_from(content, ids_bytes) if kind == REQUESTS else repeat(0)
    return zip(_ids(count).unpack_from(content), timeouts_ms, values)  # noqa: B905 - `repeat` has no end


@lru_cache(maxsize=128)
def _ids(count: int) -> Struct:
    return Struct(f">{count}Q")


@lru_cache(maxsize=128)
def _timeouts(count: int) -> Struct:
    return Struct(f">{count}I")


def _list_head(count: int) -> bytes:
    """The head of a CBOR list."""
    if count < 24:
        return bytes([0x80 | count])
    return bytes([0x98, count]) if count < 256 else b"\x99" + count.to_bytes(2, "big")
