"""Becomes a child process of `psp` that ends when `psp` does, even when that is killed.

    python -m pipelines.commands.child PARENT_PID MODULE [ARGUMENT ...]

Linux sends it SIGTERM when its parent is gone; elsewhere the next `psp up` ends it. It then becomes
`python -m MODULE`, so that nothing of this module stays in the process.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Bind this process to its parent and become the module."""
    parent, *command = sys.argv[1:]
    # What ignores or blocks these two hands that down to all it starts: a shell starts background jobs with SIGINT
    # ignored, and Dagster would then ignore SIGTERM as well.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit("The parent has ended.")
    os.execv(sys.executable, [sys.executable, "-m", *command])  # noqa: S606 - our own interpreter, no shell


if __name__ == "__main__":
    main()
