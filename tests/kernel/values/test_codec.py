"""Values on the wire: what goes in comes out, what cannot travel says why, and no bytes whatever break the decoder."""

from __future__ import annotations

import dataclasses
import math
import struct
import tracemalloc
from collections import Counter, OrderedDict, deque, namedtuple
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any
from uuid import UUID

import cbor2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guthi.api import NodeId
from guthi.errors import MalformedMessage, NotEncodable, UsageError
from guthi.values.codec import MAX_DEPTH, OUT_OF_BAND_BYTES, Codec

LARGE = bytes(range(256)) * (OUT_OF_BAND_BYTES // 256)


@dataclasses.dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass(slots=True)
class Drawing:
    points: list[Point]
    names: dict[str, int]
    picture: bytes = b""
    area: float = dataclasses.field(init=False, default=0.0)

    def __post_init__(self) -> None:
        if len(self.points) > 100:
            raise ValueError("too many points")
        self.area = float(len(self.points))


class Overheated(Exception):
    def __init__(self, sensor: str, celsius: float) -> None:
        super().__init__(f"{sensor} is at {celsius}")
        self.celsius = celsius


def make_codec() -> Codec:
    codec = Codec()
    for cls in (Point, Drawing, Overheated):
        codec.register(cls)
    return codec


def over_the_wire(value: object) -> Any:
    codec = make_codec()
    return codec.decode(b"".join(codec.encode(value)))


def body_of(cbor: bytes) -> bytes:
    return struct.pack(">HI", 0, len(cbor)) + cbor


def refused(body: bytes) -> str:
    with pytest.raises(MalformedMessage) as caught:
        make_codec().decode(body)
    return str(caught.value)


def nested(levels: int, leaf: object = 1) -> Any:
    value: Any = leaf
    for _ in range(levels):
        value = [value]
    return value


# What travels

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=40)
    | st.decimals(allow_nan=False, allow_infinity=False) | st.fractions() | st.uuids() | st.ip_addresses() | st.dates()
    | st.complex_numbers(allow_nan=False) | st.datetimes(timezones=st.just(UTC))
)  # fmt: skip
HASHABLE = SCALARS | st.tuples(SCALARS, SCALARS) | st.frozensets(st.integers()) | st.builds(Point, st.integers())
PAYLOADS = st.sampled_from([LARGE, LARGE + b"x", LARGE * 3, b"", b"small"])
VALUES = st.recursive(
    HASHABLE.filter(lambda value: type(value) not in (tuple, frozenset)) | PAYLOADS | st.sets(SCALARS),
    lambda inner: st.lists(inner) | st.dictionaries(HASHABLE, inner) | st.builds(Drawing, st.lists(inner), st.just({})),
    max_leaves=20,
)


@given(VALUES)
def test_round_trip(value: Any) -> None:
    got = over_the_wire(value)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        2**1000, -(2**1000), -0.0, math.inf, "\x00é😀", Decimal("1." + "3" * 50), Decimal("1E-999999999"),
        datetime(2020, 1, 1, 1, 2, 3, 456, tzinfo=timezone(timedelta(hours=1, minutes=23))), date(1, 1, 1),
        UUID(int=7), Fraction(-1, 3), {1, "a"}, ip_address("fe80::1%eth0"), ip_network("10.0.0.0/8"),
        ip_interface("10.0.0.1/8"), 1j, {(1, (2, 3)): 1, frozenset([1]): 2, Point(1.0): 3, None: 4, LARGE: 5},
        {Point(1.0), Point(2.0)}, LARGE, [LARGE, {"a": LARGE}, LARGE[:-1]], [], {}, set(), b"", "",
    ],
)  # fmt: skip
def test_values_arrive_as_they_were(value: Any) -> None:
    got = over_the_wire(value)
    assert (got, type(got)) == (value, type(value))


Pair = namedtuple("Pair", "left right")


class Level(IntEnum):
    LOW = 1


class Colour(StrEnum):
    RED = "red"


class Shape(Enum):
    ROUND = 1


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ((1, (2,)), [1, [2]]), (Pair(1, 2), [1, 2]), (deque([1]), [1]), (range(3), [0, 1, 2]), ({(1, 2)}, {(1, 2)}),
        (OrderedDict(a=1), {"a": 1}), (Counter("aab"), {"a": 2, "b": 1}), (frozenset([1]), {1}),
        (bytearray(b"x"), b"x"),
        (memoryview(b"xyzz")[::2], b"xz"), (np.arange(2, dtype="<u2").data, b"\0\0\1\0"), (memoryview(b""), b""),
        (memoryview(LARGE * 2)[::2], (LARGE * 2)[::2]), (bytearray(LARGE), LARGE), (memoryview(LARGE), LARGE),
        (Level.LOW, 1), (Colour.RED, "red"), (NodeId(bytes(16)), bytes(16)),
        (Decimal("Infinity"), math.inf),
    ],
)  # fmt: skip
def test_what_arrives_as_a_plainer_type(sent: Any, expected: Any) -> None:
    got = over_the_wire([sent])[0]
    assert (got, type(got)) == (expected, type(expected))


def test_large_payloads_are_lifted_and_not_copied() -> None:
    payload = bytearray(LARGE)
    head, *rest = Codec().encode(["put", payload])
    assert len(head) < 40
    payload[0] = 0xAA
    assert bytes(rest[-1])[0] == 0xAA


def test_the_layout_is_the_documented_one() -> None:
    body = b"".join(Codec().encode([LARGE, LARGE + b"!", "x"]))
    count, cbor_bytes = struct.unpack_from(">HI", body)
    lengths = struct.unpack_from(">2Q", body, 6)
    assert (count, lengths) == (2, (len(LARGE), len(LARGE) + 1))
    first = -(-(22 + cbor_bytes) // 8) * 8
    second = first + len(LARGE)
    assert body[first:second] == LARGE
    assert body[second:] == LARGE + b"!"
    assert set(body[22 + cbor_bytes : first]) <= {0}


def test_a_small_body_is_one_piece() -> None:
    assert Codec().encode(["add", [1, 2], {}]) == [b"\0\0\0\0\0\x09" + bytes.fromhex("8363616464820102a0")]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_decoded(kind: Any) -> None:
    codec = Codec()
    assert codec.decode(kind(b"".join(codec.encode([1, LARGE])))) == [1, LARGE]


# Registered classes


def test_fields_that_the_constructor_does_not_take_are_computed_anew() -> None:
    got = over_the_wire(Drawing([Point(1, 2)], {"a": 1}, LARGE))
    assert got == Drawing([Point(1, 2)], {"a": 1}, LARGE)
    assert got.area == 1.0


def test_a_registered_exception_travels_as_a_value() -> None:
    got = over_the_wire([Overheated("core", 99.5)])[0]
    assert (type(got), got.args, got.celsius) == (Overheated, ("core is at 99.5",), 99.5)


def test_register_is_a_decorator_and_may_be_repeated() -> None:
    codec = Codec()
    assert codec.register(Point) is Point
    assert codec.register(Point) is Point
    assert (codec.name_of(Point), codec.class_named("Point")) == ("Point", Point)
    assert codec.name_of(Drawing) is None


def test_misuse_of_register_is_refused() -> None:
    codec = make_codec()
    other = dataclasses.make_dataclass("Point", ["z"])
    unbuildable = dataclasses.make_dataclass("Unbuildable", ["x", ("y", dataclasses.InitVar[int])])
    for cls in (other, int, Shape, SystemExit, unbuildable, Point(1)):
        with pytest.raises(UsageError):
            codec.register(cls, "Point" if cls is other else "fresh")  # type: ignore[type-var]
    for name in ("ValueError", "PeerLost"):
        with pytest.raises(UsageError, match="every node knows"):
            codec.register(other, name)
    with pytest.raises(UsageError, match="already"):
        codec.register(Point, "Punkt")


def test_codecs_do_not_share_registrations() -> None:
    body = b"".join(make_codec().encode(Point(1)))
    with pytest.raises(MalformedMessage, match="'Point' is not registered"):
        Codec().decode(body)


RECORD = 0x47755401


@pytest.mark.parametrize(
    "content",
    [
        ["Point", {"x": 1}], ["Point", {"x": 1, "y": 2, "z": 3}], ["Point", {"x": 1, 2: 3}], ["Nobody", {}], ["Point"],
        ["Point", [1, 2]], [3, {}], 3, None, ["Drawing", {"points": 3, "names": {}, "picture": b""}],
        ["Drawing", {"points": [0] * 101, "names": {}, "picture": b""}], ["ValueError", {"args": [], "attributes": {}}],
        ["Overheated", {"args": [], "attributes": []}], ["Overheated", {"args": "ab", "attributes": {}}],
        ["Overheated", {"args": [], "attributes": {"__class__": 1}}], ["Overheated", {"args": []}],
    ],
)  # fmt: skip
def test_objects_that_do_not_fit_their_class_are_refused(content: Any) -> None:
    refused(body_of(cbor2.dumps(cbor2.CBORTag(RECORD, content))))


# What cannot travel


@dataclasses.dataclass
class Unknown:
    x: int


@pytest.mark.parametrize(
    "value",
    [
        Unknown(1), Shape.ROUND, {}.keys(), object(), int, cbor2.CBORTag(1, 1), cbor2.undefined, timedelta(1),
        cbor2.CBORSimpleValue(3), datetime(2020, 1, 1), Decimal("1" * 4001), len, (i for i in [1]), ValueError("x"),
        {1: Unknown}, {Shape.ROUND},
    ],
)  # fmt: skip
def test_what_cannot_travel_says_where(value: Any) -> None:
    with pytest.raises(NotEncodable, match=r"^value\[0\]\['x'\]"):
        make_codec().encode([{"x": value}])


def test_the_error_names_the_type_and_the_mend() -> None:
    with pytest.raises(NotEncodable, match=r"^value\[1\]\[0\]\['key'\]: an Unknown cannot travel; register its class"):
        Codec().encode(["call", [{"key": Unknown(3)}], {}])


def test_text_that_utf_8_cannot_hold_is_refused() -> None:
    for value in ("\udcff", [LARGE, "\udcff"], {"\udcff": 1}):
        with pytest.raises(NotEncodable):
            Codec().encode(value)


@dataclasses.dataclass(frozen=True, eq=False)
class Identity:
    name: str


@dataclasses.dataclass(frozen=True)
class Tagged:
    tags: Any = dataclasses.field(hash=False)


def test_keys_that_would_not_stay_apart_are_refused() -> None:
    codec = Codec()
    codec.register(Identity)
    codec.register(Tagged)
    for value in ({Identity("a"): 1, Identity("a"): 2}, {Identity("a"), Identity("a")}, {(0, 1): 1, range(2): 2}):
        with pytest.raises(NotEncodable, match="arrive as equal"):
            codec.encode(value)
    with pytest.raises(NotEncodable, match="mutable"):
        codec.encode({Tagged({"a": 1}): 1})


def cycles() -> list[Any]:
    looped: list[Any] = []
    looped.append(looped)
    book: dict[str, Any] = {}
    book["self"] = [book]
    ring: deque[Any] = deque([LARGE])
    ring.append(ring)
    drawing = Drawing([], {})
    drawing.points.append(drawing)  # type: ignore[arg-type]
    return [looped, book, ring, drawing, ([drawing],)]


@pytest.mark.parametrize("value", cycles())
def test_cycles_are_refused(value: Any) -> None:
    with pytest.raises(NotEncodable, match="contains itself"):
        make_codec().encode(value)


def test_a_depth_that_would_crash_the_serializer_is_refused() -> None:
    with pytest.raises(NotEncodable, match="nests too deeply"):
        Codec().encode(nested(200_000))


UNHASHABLE_LEAVES = [{}, np.zeros((2, 2)), np.zeros((64, 64), "c8")]
LEAVES = [1, 2**100, Decimal(1), LARGE]


@pytest.mark.parametrize(
    ("wrap", "leaves"),
    [
        (lambda value: [value], LEAVES + UNHASHABLE_LEAVES),
        (lambda value: {"key": value}, LEAVES + UNHASHABLE_LEAVES),
        (Tagged, LEAVES + UNHASHABLE_LEAVES),
        (lambda value: frozenset([value]), LEAVES),
    ],
)
def test_whatever_is_encoded_is_not_too_deep_to_decode(wrap: Any, leaves: list[Any]) -> None:
    codec = Codec()
    codec.register(Tagged)
    for value in leaves:
        levels = 0
        while body := encoded_or_refused(codec, value):
            codec.decode(body)
            value, levels = wrap(value), levels + 1
        assert 20 <= levels < MAX_DEPTH


def encoded_or_refused(codec: Codec, value: Any) -> bytes | None:
    try:
        return b"".join(codec.encode(value))
    except NotEncodable:
        return None


# What comes from a peer


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_decoded(data: bytes) -> None:
    for body in (data, body_of(data)):
        try:
            make_codec().decode(body)
        except MalformedMessage:
            pass


@settings(max_examples=300)
@given(VALUES | st.builds(lambda n: np.zeros(n, "<f4"), st.integers(0, 3000)), st.data())
def test_mutated_bodies_are_refused_or_decoded(value: Any, data: st.DataObject) -> None:
    codec = make_codec()
    body = bytearray(b"".join(codec.encode(value)))
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, min(len(body), 200) - 1))
        match data.draw(st.sampled_from(["set", "cut", "grow"])):
            case "set":
                body[where] = data.draw(st.integers(0, 255))
            case "cut" if len(body) > 8:
                del body[where : where + data.draw(st.integers(1, 8))]
            case _:
                body[where:where] = data.draw(st.binary(min_size=1, max_size=8))
    try:
        codec.decode(body)
    except MalformedMessage:
        pass


@pytest.mark.parametrize(
    "head", ["9b", "bb", "5b", "7b", "d901029b", "d8405b", "d828829b", "c25b", "a19b", "da47755401829b"]
)
@pytest.mark.parametrize("claim", [2**31, 2**40, 2**60, 2**64 - 1])
def test_a_claim_of_many_items_costs_no_memory(head: str, claim: int) -> None:
    body = body_of(bytes.fromhex(head) + claim.to_bytes(8, "big") + b"\x01\x02")
    tracemalloc.start()
    try:
        refused(body)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "head", [b"\x81", b"\xa1\x00", b"\xc1", b"\xd9\x01\x02\x81", b"\xda\x47\x75\x54\x01\x81", b"\xa1", b"\xd8\x28\x81"]
)
def test_deep_bodies_are_refused(head: bytes) -> None:
    for times in (MAX_DEPTH + 1, 100_000):
        refused(body_of(head * times + b"\x01"))


@pytest.mark.parametrize(
    "cbor",
    [
        "d8236161", "d82461 61", "d81c80", "d81d00", "d90100 8163616161", "d8190 0", "c5820101", "d9010444 01020304",
        "d90105a0", "d9d9f8 01", "d90400 01", "d8198101", "c6 01", "d9041082820202 d84044 01020304",
        "9f01ff", "5f4161ff", "bf0102ff", "a201010102", "0102", "", "ff", "1c", "61ff", "d81e820100", "d8254101",
        "c4820161 31", "c4 83010101", "c06161", "c1fb7ff8000000000000", "d8344101",
    ],
)  # fmt: skip
def test_refused_cbor(cbor: str) -> None:
    refused(body_of(bytes.fromhex(cbor.replace(" ", ""))))


def test_a_decimal_that_would_take_minutes_is_refused() -> None:
    refused(body_of(cbor2.dumps(cbor2.CBORTag(4, [1, 1 << 8_000_000]))))


def test_an_error_that_cannot_be_printed_is_still_a_malformed_message() -> None:
    @dataclasses.dataclass
    class Picky:
        x: int

        def __post_init__(self) -> None:
            raise ValueError(self.x)

    codec = Codec()
    codec.register(Picky)
    with pytest.raises(MalformedMessage, match="ValueError"):
        codec.decode(body_of(cbor2.dumps(cbor2.CBORTag(RECORD, ["Picky", {"x": 10**5000}]))))
    twice = cbor2.dumps(10**5000) + b"\x00"
    refused(body_of(b"\xa2" + twice + twice))


PART = 0x47755402


def with_parts(value: object, *parts: bytes, pad: bytes = b"\0", end: bytes = b"") -> bytes:
    cbor = cbor2.dumps(value)
    body = struct.pack(f">HI{len(parts)}Q", len(parts), len(cbor), *map(len, parts)) + cbor
    for part in parts:
        body += pad * (-len(body) % 8) + part
    return body + end


def part(index: object) -> cbor2.CBORTag:
    return cbor2.CBORTag(PART, index)


def test_parts_of_any_length_are_taken() -> None:
    assert make_codec().decode(with_parts([part(1), part(0), 5], b"abc", b"")) == [b"", b"abc", 5]


@pytest.mark.parametrize(
    "body",
    [
        with_parts([part(0), part(0)], b"abc"), with_parts([part(0)], b"abc", b"d"), with_parts([part(1)], b"abc"),
        with_parts([part(-1)], b"abc"), with_parts([part("0")], b"abc"), with_parts([part([])], b"abc"),
        with_parts([part(False)], b"abc"), with_parts([part(0)]), with_parts(part(0), b"abc", pad=b"\1"),
        with_parts(part(0), b"abc", end=b"\0"), with_parts(part(0), b"abc")[:-1], with_parts(1, end=b"x"),
        with_parts([cbor2.CBORTag(0x47755403, [86, 0]), part(0)], bytes(8)),
        with_parts(cbor2.CBORTag(0x47755403, [86, 0]), bytes(7)),
        struct.pack(">HIQ", 1, 1, 2**64 - 1) + b"\1", struct.pack(">HI", 65535, 1) + b"\1",
        struct.pack(">HI", 0, 2**32 - 1) + b"\1", b"", b"\0\0\0\0\0",
    ],
)  # fmt: skip
def test_bodies_that_do_not_add_up_are_refused(body: bytes) -> None:
    refused(body)
