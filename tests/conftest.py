"""What every test may count on, whatever started pytest."""

from __future__ import annotations

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job; its children would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
