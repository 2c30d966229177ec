"""Sends a function itself to the node that is to run it, where no store has it: the one use of pickle between nodes.

A node that accepts code (`ship_code`) has `run_code` in the store, under a name that says for which Python and in what
way it runs: so the store tells callers who accepts, and everything that holds of calls holds of shipped ones. What
cloudpickle writes is bytecode, hence the Python in the name. Function, arguments and result travel as pickles, so both
sides can make the other run anything: see docs/security.md.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from guthi import ConfigError, NotEncodable, UsageError
from guthi_rpc.errors import CodeRefused, UnknownFunction
from guthi_rpc.functions import Run

__all__ = ["STYLES", "capability", "check_can_accept", "pack", "refusal", "run_code", "unpack"]

STYLES = (Run.THREAD, Run.PROCESS)

_MEND = 'install cloudpickle: pip install "guthi-rpc[ship]"'


def capability(run: Run) -> str:
    """The name under which nodes that accept code of this Python, and run it in that way, have `run_code`."""
    return f"code.{sys.implementation.cache_tag}.{run.value}"


def check_can_accept() -> None:
    """Raises ConfigError on a node that is told to accept code and could not read it."""
    try:
        _cloudpickle()
    except ImportError:
        raise ConfigError(f"[plugins.rpc]: ship_code = true needs more than is there; {_MEND}") from None


def pack(function: Any, arguments: Sequence[Any], named: Mapping[str, Any]) -> bytes:
    """What `run_code` takes; raises UsageError, NotEncodable."""
    if not callable(function):
        raise UsageError(f"{function!r} is no function; give one, or the name of one in the store")
    if inspect.iscoroutinefunction(function):
        raise UsageError(f"{function!r} is a coroutine function, which is not sent; register it, and give its name")
    try:
        return _dumped((function, arguments, named))
    except ImportError:
        raise UsageError(f"to send {function!r} itself, {_MEND}; or register it, and give its name") from None


def refusal(error: Exception) -> Exception:
    """What a caller is told where nobody has the capability; other errors as they are."""
    if not isinstance(error, UnknownFunction):
        return error
    told = CodeRefused(
        "no node that may be asked accepts functions that are not in the store, of this version of Python; register the"
        " function and give its name, or set ship_code = true under [plugins.rpc] where it is to run"
        " (docs/security.md says what that opens)"
    )
    told.__cause__ = error
    return told


def run_code(code: bytes) -> bytes:
    """Run the function that another node sent, and give its value or its exception."""
    function, arguments, named = _cloudpickle().loads(code)
    try:
        value = function(*arguments, **named)
    except Exception as error:  # noqa: BLE001 - the caller is to see it
        return _dumped_error(error)
    return _dumped((True, value))


def unpack(reply: bytes) -> Any:
    """What the function returned; raises what it raised."""
    is_value, content = _cloudpickle().loads(reply)
    if is_value:
        return content
    raise content


def _dumped(content: Any) -> bytes:
    try:
        data: bytes = _cloudpickle().dumps(content)
    except ImportError:
        raise
    except (
        Exception
    ) as error:  # pickle raises PicklingError, TypeError, AttributeError, RecursionError, and objects more
        raise NotEncodable(f"the function, its arguments or its result cannot be pickled: {error}") from error
    return data


def _dumped_error(error: Exception) -> bytes:
    """An exception that cannot be made again from its pickle is raised, and travels as that of any function."""
    error.add_note(f"where it ran:\n{''.join(traceback.format_exception(error))}")
    try:
        data = _dumped((False, error))
        _cloudpickle().loads(data)
    except Exception:  # noqa: BLE001 - whatever its own constructor raises
        raise error from None
    return data


def _cloudpickle() -> Any:
    """Imported where it is needed, since it is an extra."""
    return import_module("cloudpickle")
