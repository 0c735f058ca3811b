"""Entry point of ``phplayer`` and of ``python -m phplayer``."""

import sys


def run() -> None:
    """Run the command line of this process and exit with its code."""
    try:
        from phplayer.cli import main

        code = main(sys.argv[1:])
    except KeyboardInterrupt:  # while it was loaded, or when all had been said
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    run()
