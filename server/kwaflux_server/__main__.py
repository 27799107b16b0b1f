"""``python -m kwaflux_server`` is ``kwaflux``; both start here."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line; return its exit status.

    A bare install has what a host needs, and no command line: that is said, and is status 2.
    """
    try:
        from kwaflux_server.cli.main import main as run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("kwaflux"):
            raise
        sys.stderr.write(
            f"kwaflux: {error.name} is not installed; the command line and the server need it\n"
            "Install what they need: pip install 'kwaflux[server]'\n"
        )
        return 2
    return run()


if __name__ == "__main__":
    raise SystemExit(main())
