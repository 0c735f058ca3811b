"""Entry point of ``phplayer`` and of ``python -m phplayer``."""

import sys

from phplayer.cli import main


def run() -> None:
    """Run the command line of this process and exit with its code."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
