"""Services are found by name, and offered once."""

from __future__ import annotations

import pytest

from guthi.errors import PluginError
from guthi.services import Service, Services

CLOCK: Service[str] = Service("clock")


def test_what_is_provided_is_found_by_name() -> None:
    services = Services()
    assert CLOCK not in services
    services.provide(CLOCK, "tick")
    assert CLOCK in services
    assert services.require(Service("clock")) == "tick"


def test_nobody_provides_it() -> None:
    with pytest.raises(PluginError, match=r"'clock'; enable the plugin that does in \[node\] plugins"):
        Services().require(CLOCK)


def test_it_is_provided_once() -> None:
    services = Services()
    services.provide(CLOCK, "tick")
    with pytest.raises(PluginError, match="'clock' is provided twice"):
        services.provide(CLOCK, "tock")
    assert services.require(CLOCK) == "tick"
