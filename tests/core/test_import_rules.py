"""What the package ``kwaflux_core`` itself holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kwaflux_core

_ROOT = Path(kwaflux_core.__file__).parent


def test_importing_the_package_imports_nothing_of_it() -> None:
    code = (
        "import sys, kwaflux_core; "
        "print([name for name in sys.modules if name.startswith('kwaflux_core.')], "
        "'typing' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(_ROOT.parent)},
        check=True,
    )
    assert done.stdout.startswith("[]")


def test_every_public_name_is_there() -> None:
    assert all(getattr(kwaflux_core, name) is not None for name in kwaflux_core.__all__)
    assert set(kwaflux_core.__all__) <= set(dir(kwaflux_core))
    with pytest.raises(AttributeError):
        kwaflux_core.Sever  # noqa: B018


def test_a_public_name_is_the_one_of_its_module() -> None:
    from kwaflux_core.client.client import Client
    from kwaflux_core.images.io import read_image

    assert kwaflux_core.Client is Client
    assert kwaflux_core.read_image is read_image


def test_the_version_is_the_distributions() -> None:
    assert re.fullmatch(r"\d+(\.\d+)+.*|0\+unknown", kwaflux_core.__version__)
