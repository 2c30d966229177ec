"""How addresses and durations are written on the command line: as in the TOML files, with the same messages."""

from __future__ import annotations

from typing import Any, get_args

import click

from guthi.api import Address
from guthi.configuration.tables import Duration
from guthi.errors import ConfigError

__all__ = ["ADDRESS", "DURATION"]


class _AddressType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer clicks
    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        try:
            return value if isinstance(value, Address) else Address.parse(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)


class _DurationType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer clicks
    name = "duration"
    _written = get_args(Duration)[1]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return float(self._written.parse(value))
        except (ValueError, TypeError):
            self.fail(f"{value!r} is not {self._written.kind}; write for example 5s", param, ctx)


ADDRESS = _AddressType()
"""host:port, read into an Address."""

DURATION = _DurationType()
"""As in "200ms" or "5s", read into seconds."""
