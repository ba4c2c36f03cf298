"""Policies for the environments of ``alenv``, and the one loop that judges them. Run from a checkout."""

import os
import signal
import sys

# `python -m agents.X` imports for seconds before it can catch anything (sys.argv says "-m" until X is found): Ctrl-C
# ends it at once and silently there. ``agents.training.command`` gives the signal back.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
