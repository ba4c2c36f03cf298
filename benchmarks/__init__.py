"""The leaderboard: policies on a suite of seeds, compared in pairs. Runs from a checkout."""

import os
import signal
import sys
from typing import Any


def stop(*_: Any) -> None:
    """End at once: nothing has been started yet."""
    os.write(2, b"interrupted before anything was started\n")
    os._exit(130)


if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # A command of this package starts: Ctrl-C during its imports, which take seconds.
    signal.signal(signal.SIGINT, stop)
