"""``python -m kwaflux_server`` is ``kwaflux``; both start here."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> int:
    """Run the command line; return its exit status.

    Without the ``server`` extra the command line is missing: print how to install it, return 2.
    """
    try:
        from kwaflux_server.cli.main import main as run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("kwaflux"):
            raise
        sys.stderr.write(
            f"kwaflux: {error.name} is not installed; the command line and the server need it\n"
            "Install it: pip install 'kwaflux[server]'\n"
        )
        return 2
    return run()


if __name__ == "__main__":
    raise SystemExit(main())
