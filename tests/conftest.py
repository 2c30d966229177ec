"""What all tests run in, whoever starts them.

On a machine with other work an example of hypothesis may take long, or be slow to make: that is no failure. With
CI=true hypothesis says so by itself, and its other settings for CI stay as they are. Where the tests were started in
the background, a shell has Ctrl-C ignored; what tests start would inherit that, and not end when it is asked to.
"""

from __future__ import annotations

import gc
import signal

from hypothesis import HealthCheck, settings

settings.register_profile("busy machine", settings(deadline=None, suppress_health_check=[HealthCheck.too_slow]))
settings.load_profile("busy machine")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking through nine thousand tests, which stay, again and again."""
    gc.collect()
    gc.freeze()
