"""Entry point of ``phplayer`` and of ``python -m phplayer``."""

import os
import sys

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))  # by their number


def run() -> None:
    """Run the command line of this process and exit with its code."""
    _open_what_is_closed()
    try:
        from phplayer.cli import main

        code = main(sys.argv[1:])
    except KeyboardInterrupt:  # while it was loaded, or when all had been said
        code = 130
    try:
        sys.stdout.flush()
    except OSError:  # told already; without this Python would say so once more, in words of its own
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _open_what_is_closed() -> None:
    """Open standard streams that the shell closed (``>&-``): the next file opened would be taken for them."""
    while (number := os.open(os.devnull, os.O_RDWR)) < len(STREAMS):
        os.set_inheritable(number, True)
        name, mode = STREAMS[number]
        setattr(sys, name, os.fdopen(number, mode))
    os.close(number)


if __name__ == "__main__":
    run()
