"""Run a program that ends when the thread that started it ends, however that comes about.

    python leash.py <process id of the parent> <program> <argument>...

A supervisor that is killed with SIGKILL cannot stop its children; the kernel can (Linux,
PR_SET_PDEATHSIG, see prctl(2)). The request has to be made inside the child, before the
program begins. Popen's preexec_fn would do it in a forked copy of a process with threads,
where any lock may be held for ever; this file does it in a fresh interpreter and then becomes
the program. It imports nothing of ours. Elsewhere than on Linux it only becomes the program.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it ended before the kernel knew our wish
            sys.exit(1)
    try:
        os.execvp(program[0], program)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"cannot run {program[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
