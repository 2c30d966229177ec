"""Which failure detector runs: one of ours or of another plugin, by its name, with the settings that it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from guthi import ConfigError, PluginError
from guthi.configuration.tables import read_table
from guthi_health.detector import Detector
from guthi_health.echo import Echo
from guthi_health.phi import PhiAccrual
from guthi_health.swim import Swim

__all__ = ["choose", "settings_of"]

BUILT_IN: tuple[type[Detector], ...] = (Echo, Swim, PhiAccrual)


def choose(wanted: str, brought: Iterable[type[Detector]]) -> type[Detector]:
    """The detector of that name. Raises ConfigError when there is none, PluginError when two share a name."""
    by_name: dict[str, type[Detector]] = {}
    for detector in (*BUILT_IN, *brought):
        if by_name.setdefault(detector.name, detector) is not detector:
            raise PluginError(f"two plugins bring a failure detector {detector.name!r}; enable only one of them")
    if wanted in by_name:
        return by_name[wanted]
    close = get_close_matches(wanted, by_name, n=1)
    known = ", ".join(sorted(by_name))
    mend = f"there are: {known}; a plugin that brings another is named before health in [node] plugins"
    raise ConfigError(
        f"[plugins.health] detector: there is no {wanted!r}; " + (f"did you mean {close[0]!r}?" if close else mend)
    )


def settings_of(
    detector: type[Detector], table: Mapping[str, Any], interval_s: float | None, timeout_s: float | None
) -> Any:
    """Its Settings, filled from [plugins.health.settings] and from `interval` and `timeout`; raises ConfigError."""
    times = {"interval": interval_s, "timeout": timeout_s}
    given = {**table, **{key: value for key, value in times.items() if value is not None}}
    return read_table(detector.Settings, given, f"[plugins.health] for {detector.name}")
