"""On a machine with other work an example of hypothesis may take long, or be slow to make: that is no failure.

With CI=true hypothesis says so by itself, and its other settings for CI stay as they are.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("busy machine", settings(deadline=None, suppress_health_check=[HealthCheck.too_slow]))
settings.load_profile("busy machine")
