"""Decides how a numpy array is told on the wire: which tag stands for which dtype, and when dimensions are believed.

A typed array (RFC 8746) is a byte string under a tag that names the element type; 64 to 87 are the tags for
integers and floats of either byte order. Tag 40 around `[dimensions, typed array]` gives it a shape, row by row.
RFC 8746 has no tag for booleans, complex numbers, dates and time spans: their *form* is the name that numpy gives the
dtype (`|b1`, `<c16`, `<M8[ms]`), out of a closed list, so that no text from a peer reaches the dtype parser.
An array keeps its byte order. What is not contiguous, or in Fortran order, is copied into row order when it is sent.

numpy is imported where there is an array: it takes as long to import as all the rest of Guthi, and most have none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from cbor2 import CBORTag

from guthi.api import Buffer
from guthi.errors import MalformedMessage, NotEncodable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ARRAY_DECODERS", "ARRAY_TAG", "tagged_array", "untagged_array"]

_Form: TypeAlias = int | str  # what the bytes are: a tag number of RFC 8746, or a dtype name where it has none

ARRAY_TAG: Final = 0x47755403
"""Our own tag around `[form, bytes]`, or `[form, index]` where the bytes travel beside the CBOR."""

MAX_DIMENSIONS: Final = 32  # what every numpy that we support can hold

_SHAPED_ARRAY_TAG: Final = 40
_MAX_AXIS: Final = 2**63 - 1
_CLAMPED_BYTES_TAG: Final = 68  # JavaScript's Uint8ClampedArray: bytes, for all that matters here

_TYPED_ARRAY_TAGS: Final[Mapping[int, str]] = MappingProxyType(
    {
        64: "|u1", 65: ">u2", 66: ">u4", 67: ">u8", _CLAMPED_BYTES_TAG: "|u1", 69: "<u2", 70: "<u4", 71: "<u8",
        72: "|i1", 73: ">i2", 74: ">i4", 75: ">i8", 77: "<i2", 78: "<i4", 79: "<i8",
        80: ">f2", 81: ">f4", 82: ">f8", 84: "<f2", 85: "<f4", 86: "<f8",
    }
)  # fmt: skip

_TAG_OF_DTYPE: Final[Mapping[str, int]] = MappingProxyType(
    {dtype: tag for tag, dtype in _TYPED_ARRAY_TAGS.items() if tag != _CLAMPED_BYTES_TAG}
)
_TIME_UNITS: Final = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as")
_NAMED_DTYPES: Final = frozenset(
    ["|b1", *(order + complex_ for order in "<>" for complex_ in ("c8", "c16"))]
    + [f"{order}{kind}8[{unit}]" for order in "<>" for kind in "Mm" for unit in _TIME_UNITS]
)
_MENDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "O": "send array.tolist(), or give it a numeric dtype",
        "V": "send a dict with one array a column",
        "U": "send array.tolist()",
        "S": "send array.tolist()",
        "f": "send array.astype('f8')",
        "c": "send array.astype('c16')",
        "M": "give it a plain unit, as in array.astype('M8[ms]')",
        "m": "give it a plain unit, as in array.astype('m8[ms]')",
    }
)


def tagged_array(array: NDArray[Any], lift: Callable[[memoryview], int | None]) -> CBORTag:
    """The array as cbor2 takes it.

    `lift` is offered the bytes, and returns the index that they can be had by when it takes them out of the CBOR.
    Raises NotEncodable for a dtype or a subclass that cannot travel.
    """
    form = _form_of(array)
    payload = _flat_bytes(array)
    index = lift(payload)
    if index is None and isinstance(form, int):
        flat = CBORTag(form, payload.tobytes())
    else:
        flat = CBORTag(ARRAY_TAG, (form, payload.tobytes() if index is None else index))
    return flat if array.ndim == 1 else CBORTag(_SHAPED_ARRAY_TAG, (array.shape, flat))


def untagged_array(content: object, take: Callable[[object], Buffer]) -> NDArray[Any]:
    """The flat array under ARRAY_TAG; `take` turns an index into the bytes. Raises MalformedMessage."""
    match content:
        case [form, bytes(payload)]:
            return _flat_array(form, payload)
        case [form, index]:
            return _flat_array(form, take(index))
    raise MalformedMessage("an array is not told as a form and its bytes")


def _form_of(array: NDArray[Any]) -> _Form:
    """How the bytes of the array are announced; raises NotEncodable for a dtype or subclass that cannot travel."""
    import numpy as np

    if type(array) not in (np.ndarray, np.memmap):
        kind = type(array).__name__
        raise NotEncodable(f"a {kind} would arrive as a plain array and lose what it means; send np.asarray(...)")
    if array.ndim > MAX_DIMENSIONS:
        raise NotEncodable(f"an array of {array.ndim} dimensions cannot travel; reshape it to at most {MAX_DIMENSIONS}")
    name = array.dtype.str
    if name in _TAG_OF_DTYPE:
        return _TAG_OF_DTYPE[name]
    if name in _NAMED_DTYPES:
        return name
    mend = _MENDS.get(array.dtype.kind, "convert it to numbers")
    raise NotEncodable(f"an array of dtype {array.dtype} has no form on the wire; {mend}")


def _flat_bytes(array: NDArray[Any]) -> memoryview:
    """The elements in row order as bytes: a view of a C-contiguous array, else a copy."""
    import numpy as np

    return np.asarray(array).ravel().view(np.uint8).data


def _flat_array(form: object, payload: Buffer) -> NDArray[Any]:
    """The one-dimensional array that views `payload`, which is as writable as the payload is.

    Raises MalformedMessage for an unknown form, or when the payload is no whole number of elements.
    """
    import numpy as np

    dtype = _dtype_of(form)
    if len(payload) % dtype.itemsize:
        raise MalformedMessage(f"{len(payload)} bytes are no whole number of {dtype} elements")
    array: NDArray[Any] = np.frombuffer(payload, dtype)
    if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise MalformedMessage("a boolean array has a byte that is neither 0 nor 1")
    return array


def _typed_array(tag: int) -> Callable[[Any, bool], NDArray[Any]]:
    def decode(content: Any, _: bool) -> NDArray[Any]:
        if type(content) is not bytes:
            raise MalformedMessage("a typed array is not a byte string")
        return _flat_array(tag, content)

    return decode


def _shaped_array(content: Any, _: bool) -> NDArray[Any]:
    import numpy as np

    match content:
        case [dimensions, np.ndarray(ndim=1) as flat]:
            return _reshaped(flat, dimensions)
    raise MalformedMessage("a shaped array is not told as dimensions and a flat array")


def _reshaped(array: NDArray[Any], dimensions: object) -> NDArray[Any]:
    """The array in the given shape, without a copy; raises MalformedMessage unless it fills the shape exactly."""
    if not isinstance(dimensions, list | tuple) or len(dimensions) > MAX_DIMENSIONS:
        raise MalformedMessage(f"the dimensions of an array are not a list of at most {MAX_DIMENSIONS} sizes")
    if not all(type(size) is int and 0 <= size <= _MAX_AXIS for size in dimensions):
        raise MalformedMessage("a dimension of an array is not a size")
    if math.prod(dimensions) != array.size:
        raise MalformedMessage(f"{array.size} elements do not fill the dimensions of their array")
    try:
        return array.reshape(dimensions)
    except ValueError as error:  # no elements, but the other axes multiply past the address space
        raise MalformedMessage("an array has dimensions that numpy cannot hold") from error


def _dtype_of(form: object) -> np.dtype[Any]:
    import numpy as np

    if type(form) is int and form in _TYPED_ARRAY_TAGS:
        return np.dtype(_TYPED_ARRAY_TAGS[form])
    if type(form) is str and form in _NAMED_DTYPES:
        return np.dtype(form)
    raise MalformedMessage("an array has a form that is not known")


ARRAY_DECODERS: Final[Mapping[int, Callable[[Any, bool], NDArray[Any]]]] = MappingProxyType(
    {_SHAPED_ARRAY_TAG: _shaped_array, **{tag: _typed_array(tag) for tag in _TYPED_ARRAY_TAGS}}
)
"""What makes arrays of the tags of RFC 8746, as `semantic_decoders` of cbor2."""
