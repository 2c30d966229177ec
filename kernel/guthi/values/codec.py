"""Decides how the values of users become bytes and back: CBOR (RFC 8949), with large payloads beside it, not in it.

A body is, big-endian:

    u16 count of parts | u32 CBOR length | count x u64 part length | CBOR | parts

Each part begins at a multiple of 8 from the start of the body; the gap before it is filled with zeros. The last part
ends the body, or the CBOR where there is none. The CBOR is one item of definite lengths, at most 64 levels deep, tags
counted. A part holds bytes that the CBOR refers to by index; each is referred to exactly once, so that no message grows
when it is decoded. Tags of our own, beside those of RFC 8949 and the typed arrays of RFC 8746:

    RECORD [name, {field: value}]   an object of a registered class; an exception has the fields args and attributes
    PART   index                    the byte string that is that part
    ARRAY  [form, bytes | index]    a flat array that is a part, or whose form has no tag in RFC 8746 (see arrays)

What arrives is what was sent, except: tuples, deques and ranges arrive as lists (as tuples in a key or a set), named
tuples and subclasses of dict, str and int as the plain type, bytearrays and memoryviews as bytes, numpy scalars as
Python's, Decimal's infinities and NaN as float. Arrays arrive read-only: those that came as a part are views of the
body and keep it alive, bytes that came as a part are copied once. Parts that `encode` returns are views of what was
passed, so that must not change until it is sent.

Only registered classes are ever constructed. Of the tags that cbor2 understands, refused are shared references and
string references (cycles, amplification), regular expressions and MIME (parsers open to a peer), big floats and two
obsolete address tags. Decimals have a bound, as Python converts their digits in quadratic time.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cache
from io import BytesIO
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from struct import Struct
from struct import error as StructError
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from uuid import UUID

import cbor2

from guthi.api import Buffer
from guthi.errors import MalformedMessage, NotEncodable, UsageError
from guthi.values.arrays import ARRAY_DECODERS, ARRAY_TAG, tagged_array, untagged_array
from guthi.values.faults import STANDARD_ERRORS, exception_state, rebuilt_exception
from guthi.values.plain import plain_cbor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MAX_DEPTH", "MAX_PARTS", "OUT_OF_BAND_BYTES", "Codec"]

OUT_OF_BAND_BYTES: Final = 4096
"""Payloads of this length and more travel beside the CBOR."""
MAX_DEPTH: Final = 64
MAX_PARTS: Final = 0xFFFF
MAX_DECIMAL_DIGITS: Final = 4000

_DEEPEST_LEAF: Final = 4  # levels of a shaped array: tag 40, its list, ARRAY, its list
_MAX_NESTING: Final = MAX_DEPTH - _DEEPEST_LEAF
_MAX_DECIMAL_BITS: Final = MAX_DECIMAL_DIGITS * 10 // 3 + 1
_HEAD: Final = Struct(">HI")
_LENGTH: Final = Struct(">Q")

# Four-byte tags out of the range that is given first come, first served (RFC 8949, 9.2); not registered with IANA.
_RECORD_TAG: Final = 0x47755401
_PART_TAG: Final = 0x47755402
_SET_TAG: Final = 258
_DECIMAL_TAG: Final = 4
_REFUSED_TAGS: Final = (5, 25, 28, 29, 35, 36, 256, 260, 261)

_SCALARS: Final = frozenset((NoneType, bool, int, float, str))
_NUMBERS: Final = (bool, int, float, complex)

_Class = TypeVar("_Class", bound=type)
_Decoders = dict[int, Callable[[Any, bool], Any]]
_Conversions: TypeAlias = "Mapping[type, Callable[[_Outgoing, Any], Any]]"


@dataclasses.dataclass(frozen=True, slots=True)
class _Record:
    """A registered class: its name on the wire and the fields that make an object of it."""

    name: str
    cls: type
    fields: tuple[str, ...]

    def fields_of(self, value: Any) -> dict[str, Any]:
        if isinstance(value, Exception):
            args, attributes = exception_state(value)
            return {"args": args, "attributes": attributes}
        return {field: getattr(value, field) for field in self.fields}

    def build(self, fields: Mapping[Any, Any]) -> Any:
        if fields.keys() != set(self.fields):
            raise MalformedMessage(f"an object of class {self.name} has not the fields {', '.join(self.fields)}")
        if not issubclass(self.cls, Exception):
            return self.cls(**fields)
        match fields:
            case {"args": [*args], "attributes": Mapping() as attributes}:
                return rebuilt_exception(self.cls, args, attributes)
        raise MalformedMessage(f"an exception of class {self.name} has no list of args or no map of attributes")


class Codec:
    """Turns values into bodies and back, and knows the classes that may travel. One belongs to each node."""

    def __init__(self) -> None:
        self._records: dict[type, _Record] = {}
        self._names: dict[str, _Record] = {}
        self._decoders_without_parts = self._decoders(_Parts([]))

    def register(self, cls: _Class, name: str | None = None) -> _Class:
        """Let objects of a dataclass or an exception class travel, under `name` or the name of the class.

        Both ends register the class under one name. Fits as a decorator. Raises UsageError when the name stands for
        another class, or objects could not be built again from their fields.
        """
        record = _record_for(cls, name or cls.__name__)
        known = self._records.get(cls) or self._names.get(record.name)
        if known is not None and known != record:
            raise UsageError(f"{known.cls.__qualname__} is registered as {known.name!r} already; give another name")
        self._records[cls] = self._names[record.name] = record
        return cls

    def name_of(self, cls: type) -> str | None:
        """The name that a class is registered under, if it is."""
        record = self._records.get(cls)
        return record.name if record else None

    def class_named(self, name: str) -> type | None:
        """The class that is registered under a name, if one is."""
        record = self._names.get(name)
        return record.cls if record else None

    @staticmethod
    def body_of(cbor: bytes) -> bytes:
        """The body for a value that needs no parts, whose CBOR this is."""
        return _HEAD.pack(0, len(cbor)) + cbor

    def encode(self, value: object) -> list[Buffer]:
        """The body for a value, in pieces to be sent one after another; large payloads are not copied.

        Raises NotEncodable, which says where in the value the trouble is, for what has no form on the wire, contains
        itself, or nests deeper than about 60 levels.
        """
        plain = plain_cbor(value)
        if plain is not None:
            return [_HEAD.pack(0, len(plain)) + plain]
        try:
            if _is_plain(value, _MAX_NESTING):
                return [self.body_of(cbor2.dumps(value))]
            outgoing = _Outgoing(self._records)
            return _assembled(cbor2.dumps(outgoing.convert(value)), outgoing.parts)
        except UnicodeEncodeError as error:
            raise NotEncodable(f"the value holds a text that is no Unicode ({error}); send bytes") from error
        except (StructError, OverflowError) as error:
            raise NotEncodable("the value is over 4 GiB without its large payloads; send it in pieces") from error

    def decode(self, body: Buffer) -> Any:
        """The value of a body; raises MalformedMessage, and nothing else, for whatever is wrong with it."""
        try:
            if len(body) < _HEAD.size:
                raise MalformedMessage("a body is shorter than its head")
            count, cbor_bytes = _HEAD.unpack_from(body)
            if count == 0:
                return _loaded(body[_HEAD.size :], cbor_bytes, self._decoders_without_parts)
            return self._with_parts(memoryview(body).cast("B").toreadonly(), count, cbor_bytes)
        except Exception as error:  # cbor2, the constructors of its types and of users' classes raise what they like
            raise MalformedMessage(f"a value cannot be decoded: {_reason(error)}") from error

    def decode_without_parts(self, cbor: Buffer) -> Any:
        """The value of this CBOR; raises MalformedMessage as `decode` does."""
        try:
            return _loaded(cbor, len(cbor), self._decoders_without_parts)
        except Exception as error:  # as in `decode`
            raise MalformedMessage(f"a value cannot be decoded: {_reason(error)}") from error

    def _with_parts(self, body: memoryview, count: int, cbor_bytes: int) -> Any:
        start = _HEAD.size + count * _LENGTH.size
        parts = _Parts(_split(body, count, start + cbor_bytes))
        value = _loaded(body[start : start + cbor_bytes], cbor_bytes, self._decoders(parts))
        parts.check_all_taken()
        return value

    def _decoders(self, parts: _Parts) -> _Decoders:
        return {
            **_STATIC_DECODERS,
            _RECORD_TAG: self._decode_record,
            _PART_TAG: lambda index, _: bytes(parts.take(index)),
            ARRAY_TAG: lambda content, _: untagged_array(content, parts.take),
        }

    def _decode_record(self, content: Any, _: bool) -> Any:
        match content:
            case [str(name), Mapping() as fields]:
                record = self._names.get(name)
                if record is None:
                    raise MalformedMessage(f"class {name[:80]!r} is not registered here")
                return record.build(fields)
        raise MalformedMessage("an object is not told as a name and fields")


def _record_for(cls: type, name: str) -> _Record:
    if name in STANDARD_ERRORS:
        raise UsageError(f"{name!r} is the name of an exception that every node knows; give another name")
    if isinstance(cls, type) and issubclass(cls, Exception):
        return _Record(name, cls, ("args", "attributes"))
    if not (isinstance(cls, type) and dataclasses.is_dataclass(cls)):
        raise UsageError(f"{cls!r} is neither a dataclass nor an exception class; make it a dataclass")
    fields = tuple(field.name for field in dataclasses.fields(cls) if field.init)
    try:
        inspect.signature(cls).bind(**dict.fromkeys(fields))
    except TypeError as error:
        raise UsageError(f"{cls.__qualname__} cannot be built from its fields ({error}); change its __init__") from None
    return _Record(name, cls, fields)


def _reason(error: BaseException) -> str:
    """What went wrong first, in words that are safe to print: cbor2 wraps, and others' texts may hold what came."""
    while error.__cause__ is not None and not isinstance(error, MalformedMessage):
        error = error.__cause__
    if isinstance(error, MalformedMessage | cbor2.CBORDecodeError):
        return f"{error!s:.200}"
    return type(error).__name__


def _is_plain(value: Any, levels: int) -> bool:
    """Whether cbor2 may have the value as it is: nothing to lift or convert, and nested no deeper than `levels`.

    This runs for every value sent, so it trades beauty for speed: no call for a scalar. cbor2 itself would overrun the
    stack and crash the process at about 100,000 levels.
    """
    kind = type(value)
    if kind is list or kind is tuple:
        children = value
    elif kind is dict:
        if value and not _SCALARS.issuperset(map(type, value)):
            return False
        children = value.values()
    else:
        return kind in _SCALARS or (kind is bytes and len(value) < OUT_OF_BAND_BYTES)
    for child in children:
        if type(child) not in _SCALARS and not (levels and _is_plain(child, levels - 1)):
            return False
    return True


def _loaded(cbor: Buffer, size_bytes: int, decoders: _Decoders) -> Any:
    """The one item that these `size_bytes` are; `cbor2.loads` would ignore what follows it."""
    stream = BytesIO(cbor)
    value = cbor2.load(
        stream,
        tag_hook=_refuse_tag,
        semantic_decoders=decoders,
        max_depth=MAX_DEPTH,
        allow_indefinite=False,
        allow_duplicate_keys=False,
    )
    if not stream.tell() == len(cbor) == size_bytes:
        raise MalformedMessage("the length of the CBOR in a body is not that of one value")
    return value


def _assembled(cbor: bytes, parts: list[memoryview]) -> list[Buffer]:
    head = _HEAD.pack(len(parts), len(cbor)) + b"".join(_LENGTH.pack(len(part)) for part in parts)
    pieces: list[Buffer] = [head + cbor]
    offset = len(pieces[0])
    for part in parts:
        gap = -offset % 8
        pieces += [bytes(gap), part] if gap else [part]
        offset += gap + len(part)
    return pieces


def _split(body: memoryview, count: int, offset: int) -> list[memoryview]:
    """The parts of a body whose CBOR ends at `offset`; they must fill the rest of it exactly."""
    parts = []
    for index in range(count if offset <= len(body) else 0):
        (size_bytes,) = _LENGTH.unpack_from(body, _HEAD.size + index * _LENGTH.size)
        begin = offset + -offset % 8
        if any(body[offset:begin]):
            raise MalformedMessage("the gap before a part is not filled with zeros")
        parts.append(body[begin : begin + size_bytes])
        offset = begin + size_bytes
    if offset != len(body):
        raise MalformedMessage("the lengths in a body do not add up to its own")
    return parts


class _Outgoing:
    """One walk over a value that is not plain: makes what cbor2 takes of it, and lifts large payloads into parts.

    Sequences become tuples and fields a frozendict, so that what was hashable stays so.
    """

    def __init__(self, records: Mapping[type, _Record]) -> None:
        self.parts: list[memoryview] = []
        self._records = records
        self._conversions = _conversions()
        self._levels = 0
        self._trail: list[object] = []  # the indices and keys that lead to where the walk is

    def convert(self, value: Any) -> Any:
        kind = type(value)
        if kind in _SCALARS:
            return value
        if kind in self._records:
            return self.record(value)
        for base in kind.__mro__:
            conversion = self._conversions.get(base)
            if conversion is not None:
                return conversion(self, value)
        article = "an" if kind.__qualname__[0] in "aeiouAEIOU" else "a"
        raise self._refusal(
            f"{article} {kind.__qualname__} cannot travel; register its class or send something simpler"
        )

    def as_it_is(self, value: Any) -> Any:
        return value

    def sequence(self, value: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(self._inside(enumerate(value), levels=1))

    def mapping(self, value: Mapping[Any, Any]) -> dict[Any, Any]:
        keys = self._inside(zip(value, value, strict=True), levels=1)
        self._check_distinct(keys)
        return dict(zip(keys, self._inside(value.items(), levels=1), strict=True))

    def set(self, value: Iterable[Any]) -> cbor2.CBORTag:
        items = self._inside(enumerate(value), levels=2)
        self._check_distinct(items)
        return cbor2.CBORTag(_SET_TAG, tuple(items))

    def record(self, value: Any) -> cbor2.CBORTag:
        record = self._records[type(value)]
        fields = record.fields_of(value)
        converted = self._inside(fields.items(), levels=3)
        return cbor2.CBORTag(_RECORD_TAG, (record.name, cbor2.frozendict(zip(fields, converted, strict=True))))

    def payload(self, value: Buffer) -> bytes | cbor2.CBORTag:
        view = memoryview(value)
        flat = view.cast("B") if view.c_contiguous and view.nbytes else memoryview(view.tobytes())
        index = self._lift(flat)
        return flat.tobytes() if index is None else cbor2.CBORTag(_PART_TAG, index)

    def array(self, value: NDArray[Any]) -> cbor2.CBORTag:
        try:
            return tagged_array(value, self._lift)
        except NotEncodable as error:
            raise self._refusal(str(error)) from None

    def numpy_scalar(self, value: np.generic) -> Any:
        item = value.item()
        if value.dtype.kind not in "biufc" or type(item) not in _NUMBERS:
            raise self._refusal(f"a numpy {value.dtype} cannot travel by itself; send an array or a plain number")
        return item

    def datetime(self, value: datetime) -> datetime:
        if value.utcoffset() is None:
            raise self._refusal("a datetime without a time zone means another moment elsewhere; give it a tzinfo")
        return value

    def decimal(self, value: Decimal) -> Decimal:
        if len(value.as_tuple().digits) > MAX_DECIMAL_DIGITS:
            raise self._refusal(f"a Decimal may have {MAX_DECIMAL_DIGITS} digits on the wire; round it")
        return value

    def _inside(self, children: Iterable[tuple[object, Any]], levels: int) -> list[Any]:
        self._levels += levels
        if self._levels > _MAX_NESTING:
            raise self._refusal("a value nests too deeply, or contains itself")
        self._trail.append(None)
        converted = []
        for step, child in children:
            self._trail[-1] = step
            converted.append(self.convert(child))
        self._trail.pop()
        self._levels -= levels
        return converted

    def _check_distinct(self, converted: list[Any]) -> None:
        try:
            distinct = len(set(converted)) == len(converted)
        except (TypeError, RuntimeError):  # cbor2 raises the latter for a tag of something unhashable
            raise self._refusal("a key or an element of a set holds something mutable; send a list") from None
        if not distinct:
            raise self._refusal("two keys, or two elements of a set, would arrive as equal; send a list")

    def _lift(self, payload: memoryview) -> int | None:
        """The index of the part that the payload becomes, or None when it had better stay in the CBOR."""
        if len(payload) < OUT_OF_BAND_BYTES or len(self.parts) == MAX_PARTS:
            return None
        self.parts.append(payload)
        return len(self.parts) - 1

    def _refusal(self, reason: str) -> NotEncodable:
        steps = self._trail if len(self._trail) < 8 else [*self._trail[:7], ...]
        where = "".join(f"[{step!r:.40}]" for step in steps)
        return NotEncodable(f"value{where}: {reason}")


_CONVERSIONS: Final[_Conversions] = MappingProxyType(
    {
        **dict.fromkeys((str, int, float, complex, Fraction, date, UUID), _Outgoing.as_it_is),
        **dict.fromkeys((IPv4Address, IPv6Address, IPv4Network, IPv6Network), _Outgoing.as_it_is),
        **dict.fromkeys((list, tuple, deque, range), _Outgoing.sequence),
        **dict.fromkeys((set, frozenset), _Outgoing.set),
        **dict.fromkeys((bytes, bytearray, memoryview), _Outgoing.payload),
        dict: _Outgoing.mapping,
        datetime: _Outgoing.datetime,
        Decimal: _Outgoing.decimal,
    }
)


def _conversions() -> _Conversions:
    """Those of numpy's classes, too, where it has been imported: else nobody can have passed an object of them."""
    return _conversions_with_numpy() if "numpy" in sys.modules else _CONVERSIONS


@cache
def _conversions_with_numpy() -> _Conversions:
    import numpy as np

    return MappingProxyType({**_CONVERSIONS, np.ndarray: _Outgoing.array, np.generic: _Outgoing.numpy_scalar})


class _Parts:
    """The parts of one body, each of which is taken exactly once."""

    def __init__(self, views: list[memoryview]) -> None:
        self._views = dict(enumerate(views))

    def take(self, index: object) -> memoryview:
        if type(index) is not int or index not in self._views:
            raise MalformedMessage("a value refers to a part that is not there, or twice to one")
        return self._views.pop(index)

    def check_all_taken(self) -> None:
        if self._views:
            raise MalformedMessage("a body has a part that its value does not refer to")


def _refuse_tag(tag: cbor2.CBORTag, _: bool) -> Any:
    raise MalformedMessage(f"tag {tag.tag} is not understood")


def _refused(tag: int) -> Callable[[Any, bool], Any]:
    return lambda _content, _immutable: _refuse_tag(cbor2.CBORTag(tag, None), False)


def _decimal(content: Any, _: bool) -> Decimal:
    match content:
        case [int(exponent), int(mantissa)] if mantissa.bit_length() <= _MAX_DECIMAL_BITS:
            digits = Decimal(mantissa).as_tuple()
            return Decimal((digits.sign, digits.digits, exponent))
    raise MalformedMessage("a decimal fraction is not told as exponent and mantissa, or is too long")


_STATIC_DECODERS: Final[Mapping[int, Callable[[Any, bool], Any]]] = MappingProxyType(
    {
        **{tag: _refused(tag) for tag in _REFUSED_TAGS},
        **ARRAY_DECODERS,
        _DECIMAL_TAG: _decimal,
    }
)
