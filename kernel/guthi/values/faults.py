"""Decides how an exception crosses the network: as its own class where both sides know that class, else as RemoteError.

Known are the exceptions built into Python, Guthi's own, and those registered with the codec. An exception travels as
its `args`, its attributes and its traceback text; it is put together without running its `__init__`, which may take
other arguments than `args` (that of PeerLost does), so no code but Python's own runs for a peer's fault.
Not revived as themselves are exceptions that would steer the program that receives them: StopIteration ends loops, and
what is no Exception (SystemExit, KeyboardInterrupt, CancelledError) ends tasks and processes.
"""

from __future__ import annotations

import builtins
import traceback
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import guthi.errors as errors
from guthi.errors import MalformedMessage, RemoteError

if TYPE_CHECKING:
    from guthi.values.codec import Codec

__all__ = [
    "MAX_TEXT_BYTES",
    "STANDARD_ERRORS",
    "describe",
    "describe_briefly",
    "exception_state",
    "rebuilt_exception",
    "revive",
]

MAX_TEXT_BYTES: Final = 16 * 1024
"""The longest traceback or message that travels; of a traceback the end is kept, of a message the beginning."""

BRIEF_CHARACTERS: Final = 500
_STEERING: Final = (StopIteration, StopAsyncIteration)
_ENVELOPE_DEPTH: Final = 6  # what a reply may wrap around a fault, so that what fits alone fits there too

STANDARD_ERRORS: Final[Mapping[str, type[Exception]]] = MappingProxyType(
    {
        name: value
        for module in (builtins, errors)
        for name, value in sorted(vars(module).items())
        if isinstance(value, type) and issubclass(value, Exception) and not issubclass(value, _STEERING)
    }
)
"""The exceptions that every node knows without registration, by class name."""


def describe(error: BaseException, codec: Codec) -> dict[str, Any]:
    """A value that the codec can encode, and from which `revive` makes the exception again.

    What the exception carries that has no form on the wire is replaced by its text. This never raises for an Exception.
    """
    name = _known_name(type(error), codec)
    try:
        args, attributes = exception_state(error) if name else ([], {})
    except Exception:  # noqa: BLE001 - attributes may be properties that raise, and the caller needs an answer
        args, attributes = [], {}
    return {
        "class": name or f"{type(error).__module__}.{type(error).__qualname__}",
        "args": [_travelling(value, codec) for value in args],
        "attributes": {key: _travelling(value, codec) for key, value in attributes.items()},
        "message": _text_of(error),
        "traceback": _traceback_of(error),
    }


def describe_briefly(error: BaseException, codec: Codec) -> dict[str, Any]:
    """As `describe`, but only the class and a short text: for a peer that does not take more."""
    name = _known_name(type(error), codec) or f"{type(error).__module__}.{type(error).__qualname__}"
    text = _text_of(error)[:BRIEF_CHARACTERS]
    return {"class": name, "args": [text], "attributes": {}, "message": text, "traceback": "not sent: it was too long"}


def revive(value: object, codec: Codec, node: str) -> Exception:
    """The exception that `describe` told of, with the remote traceback as a note that names the node.

    Its class is the remote one where that is known here and can be put together from what came, else RemoteError.
    Raises MalformedMessage when `value` is no description of an exception.
    """
    match value:
        case {
            "class": str(name),
            "args": list(args),
            "attributes": dict(attributes),
            "message": str(message),
            "traceback": str(text),
        }:
            error = _own_class(name, args, attributes, codec) or RemoteError(name, message)
            BaseException.add_note(error, f"remote traceback on {node}:\n{text}")
            return error
    raise MalformedMessage("a fault came without class, args, attributes, message and traceback")


def exception_state(error: BaseException) -> tuple[list[Any], dict[str, Any]]:
    """What `rebuilt_exception` needs besides the class: the `args` and the attributes of an exception."""
    args = list(error.args)
    if isinstance(error, OSError) and len(args) == 2 and error.filename is not None:
        args.append(error.filename)  # OSError takes file names out of its args
        if error.filename2 is not None:
            args += [None, error.filename2]
    return args, {name: value for name, value in vars(error).items() if _may_travel(name)}


def _may_travel(name: object) -> bool:
    """Whether an attribute of that name can be told of; anything may stand in a `__dict__`."""
    return type(name) is str and not name.startswith("__") and _valid_text(name) == name


def rebuilt_exception(cls: type[Exception], args: Sequence[Any], attributes: Mapping[str, Any]) -> Exception:
    """An exception of that class with these `args` and attributes, made without running an `__init__` of its own.

    Raises TypeError or ValueError when the class cannot be made from them.
    """
    error = cls.__new__(cls, *args)
    if type(error) is not cls and cls is not OSError:  # OSError picks its subclass by errno
        raise TypeError(f"{cls.__name__} made something else of its arguments")
    # The state that Python keeps in C, such as errno, comes from the built-in ancestor's own __init__.
    ancestor = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    ancestor.__init__(error, *args)  # type: ignore[misc]  # it is that of a base, on purpose
    for name, value in attributes.items():
        if type(name) is not str or name.startswith("__") or callable(getattr(cls, name, None)):
            raise ValueError(f"{cls.__name__} cannot have such an attribute from a peer")
        vars(error)[name] = value
    return error


def _known_name(cls: type[BaseException], codec: Codec) -> str | None:
    if STANDARD_ERRORS.get(cls.__name__) is cls:
        return cls.__name__
    return codec.name_of(cls)


def _own_class(name: str, args: list[Any], attributes: dict[Any, Any], codec: Codec) -> Exception | None:
    cls = STANDARD_ERRORS.get(name) or codec.class_named(name)
    if cls is None or not issubclass(cls, Exception):
        return None
    try:
        return rebuilt_exception(cls, args, attributes)
    except Exception:  # noqa: BLE001 - a constructor may raise anything, and the caller still needs an answer
        return None


def _travelling(value: object, codec: Codec) -> Any:
    nested = value
    for _ in range(_ENVELOPE_DEPTH):
        nested = [nested]
    try:
        codec.encode(nested)
    except Exception:  # noqa: BLE001 - what an exception carries must not keep its report from travelling
        return _text_of(value)
    return value


def _text_of(value: object) -> str:
    try:
        text = str(value)
    except Exception:  # noqa: BLE001 - a broken __str__ is no reason to lose the fault
        text = f"<{type(value).__name__} without a text>"
    return _valid_text(text).encode()[:MAX_TEXT_BYTES].decode(errors="ignore")


def _traceback_of(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - as above
        text = f"<{type(error).__name__} without a traceback>"
    return _valid_text(text).encode()[-MAX_TEXT_BYTES:].decode(errors="ignore")


def _valid_text(text: str) -> str:
    """The text without lone surrogates, which file names from the system may hold and UTF-8 cannot."""
    return text.encode(errors="backslashreplace").decode()
