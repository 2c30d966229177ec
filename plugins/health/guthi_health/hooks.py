"""The hook that the plugin brings: through it failure detectors are found."""

from __future__ import annotations

from collections.abc import Sequence

import guthi
from guthi_health.detector import Detector

__all__ = ["HealthHooks"]


class HealthHooks:
    """The hooks of the plugin health."""

    @guthi.hookspec
    def failure_detectors(self) -> Sequence[type[Detector]]:
        """The detector classes that a plugin brings; [plugins.health] `detector` chooses one by its name.

        It is called when health starts, so [node] plugins names the plugin before health.
        """
        return ()
