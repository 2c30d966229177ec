"""Arrays on the wire: every dtype, order and shape comes back; what does not fit its dimensions is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from guthi.errors import MalformedMessage, NotEncodable
from guthi.values.arrays import ARRAY_TAG
from guthi.values.codec import OUT_OF_BAND_BYTES, Codec

REALS = [
    "u1",
    "i1",
    *(order + kind for order in "<>" for kind in ("u2", "u4", "u8", "i2", "i4", "i8", "f2", "f4", "f8")),
]
OTHERS = ["?", *(order + kind for order in "<>" for kind in ("c8", "c16", "M8[ms]", "m8[D]", "M8[ns]"))]


def over_the_wire(value: Any) -> Any:
    codec = Codec()
    return codec.decode(b"".join(codec.encode(value)))


def body_of(cbor: bytes) -> bytes:
    return bytes(2) + len(cbor).to_bytes(4, "big") + cbor


def assert_same(sent: np.ndarray[Any, Any], got: Any) -> None:
    assert type(got) is np.ndarray
    assert (got.dtype, got.shape) == (sent.dtype, sent.shape)
    assert got.tobytes() == sent.tobytes()


@given(
    hnp.arrays(
        dtype=st.sampled_from(REALS + OTHERS), shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)
    )
)
def test_round_trip(array: np.ndarray[Any, Any]) -> None:
    assert_same(array, over_the_wire(array))


@pytest.mark.parametrize("dtype", REALS + OTHERS)
@pytest.mark.parametrize("shape", [(OUT_OF_BAND_BYTES,), (3, OUT_OF_BAND_BYTES)])
def test_large_arrays_of_every_dtype(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    assert_same(array, over_the_wire(array))


@pytest.mark.parametrize("side", [4, 100])
@pytest.mark.parametrize(
    "view", [np.asfortranarray, lambda a: a[::2, ::3], lambda a: a[::-1], lambda a: a.T, lambda a: a[:, 0]]
)
def test_other_orders_arrive_in_row_order(side: int, view: Any) -> None:
    array = view(np.arange(side * side, dtype="<i4").reshape(side, side))
    got = over_the_wire(array)
    assert_same(array, got)
    assert got.flags.c_contiguous


def test_a_large_array_is_never_copied() -> None:
    array = np.arange(OUT_OF_BAND_BYTES, dtype="<u8").reshape(2, -1)
    codec = Codec()
    pieces = codec.encode({"pixels": array})
    assert np.shares_memory(np.frombuffer(pieces[-1], "u1"), array)
    body = b"".join(pieces)
    assert np.shares_memory(codec.decode(body)["pixels"], np.frombuffer(body, "u1"))


@pytest.mark.parametrize("elements", [3, OUT_OF_BAND_BYTES])
@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_arrays_arrive_read_only_whatever_their_size(elements: int, kind: Any) -> None:
    codec = Codec()
    got = codec.decode(kind(b"".join(codec.encode(np.zeros(elements)))))
    assert not got.flags.writeable


def test_small_arrays_are_plain_rfc_8746() -> None:
    (body,) = Codec().encode(np.array([[1, 2], [3, 4]], dtype=">u2"))
    assert bytes(body)[6:].hex() == "d828" + "82" + "820202" + "d841" + "48" + "0001000200030004"


def test_clamped_bytes_arrive_as_bytes() -> None:
    assert Codec().decode(body_of(cbor2.dumps(cbor2.CBORTag(68, b"\x01\xff")))).tolist() == [1, 255]


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [
        (np.int8(-3), -3), (np.uint64(2**64 - 1), 2**64 - 1), (np.float64(0.5), 0.5), (np.float32(0.5), 0.5),
        (np.bool_(True), True), (np.complex64(1j), 1j), (np.str_("x"), "x"), (np.bytes_(b"x"), b"x"),
    ],
)  # fmt: skip
def test_numpy_scalars_arrive_as_python_scalars(scalar: Any, expected: Any) -> None:
    got = over_the_wire([scalar])[0]
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("value", "mend"),
    [
        (np.array([object()]), "tolist"),
        (np.array(["a"]), "tolist"),
        (np.zeros(2, dtype=[("x", "i4")]), "dict"),
        (np.zeros(2, dtype="longdouble"), "f8"),
        (np.zeros(2, dtype="M8[25s]"), "unit"),
        (np.ma.masked_array([1, 2], mask=[True, False]), "asarray"),
        (np.longdouble(1), "plain number"),
        (np.datetime64("2020-01-01"), "array"),
    ],
)
def test_what_cannot_travel_says_where_and_what_would_do(value: Any, mend: str) -> None:
    with pytest.raises(NotEncodable, match=rf"value\['a'\]\[1\]: .*{mend}"):
        Codec().encode({"a": [0, value]})


def refused(tag: cbor2.CBORTag) -> None:
    """Refused by a check that says what is wrong, not by an exception that numpy happened to raise."""
    with pytest.raises(MalformedMessage) as caught:
        Codec().decode(body_of(cbor2.dumps(tag)))
    assert "Error" not in str(caught.value)


def flat(count: int = 6) -> cbor2.CBORTag:
    return cbor2.CBORTag(64, bytes(count))


@pytest.mark.parametrize(
    "content",
    [
        [[2, 2], flat()], [[7], flat()], [[-2, -3], flat()], [[2, "3"], flat()], [[True, 6], flat()], [6, flat()],
        [[2**64, 0], flat(0)], [[2**62, 2**62, 0], flat(0)], [[2**32, 2**32], flat(0)],
        [[1] * 33, flat(1)], [[2**64 + 6], flat()], [[], flat()],
        [{}, flat()], [[6], b"123456"], [[6], [0] * 6], [[6]], 6, [[6], cbor2.CBORTag(40, [[2, 3], flat()])],
        [["6" * 9000], flat()], [[10**5000, 0], flat(0)],
    ],
)  # fmt: skip
def test_dimensions_that_do_not_fit_are_refused(content: Any) -> None:
    refused(cbor2.CBORTag(40, content))


@pytest.mark.parametrize(
    "tag",
    [
        cbor2.CBORTag(65, b"123"), cbor2.CBORTag(65, "12"), cbor2.CBORTag(65, [1, 2]), cbor2.CBORTag(65, None),
        cbor2.CBORTag(76, b"12"), cbor2.CBORTag(83, bytes(16)), cbor2.CBORTag(87, bytes(16)),
        *(
            cbor2.CBORTag(ARRAY_TAG, content)
            for content in (
                ["|b1", b"\x02"], ["|O", bytes(8)], ["<U1", bytes(4)], ["f8", bytes(8)], [64], [64, "x"], [64, 0],
                [True, b"x"], [10**5000, b"x"], [[], b"x"], "ab", None, ["<M8[25s]", bytes(8)],
            )
        ),
    ],
)  # fmt: skip
def test_malformed_arrays_are_refused(tag: cbor2.CBORTag) -> None:
    refused(tag)


def test_numpy_is_imported_when_an_array_arrives() -> None:
    code = """
import sys
from guthi.values.codec import Codec
codec = Codec()
codec.decode(b"".join(codec.encode([1, {2.0: b"3"}, {4}])))
print("numpy" in sys.modules)
print(repr(codec.decode(bytes.fromhex(sys.argv[1]))), "numpy" in sys.modules)
"""
    array = np.arange(6, dtype="<u4").reshape(2, 3)
    body = b"".join(Codec().encode(array))
    ran = subprocess.run([sys.executable, "-c", code, body.hex()], capture_output=True, text=True, check=True)
    assert ran.stdout == f"False\n{array!r} True\n"
