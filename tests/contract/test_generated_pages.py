"""The generated pages say what the code says today."""

from __future__ import annotations

from pathlib import Path

import pytest

from kwaflux_core.errors import all_errors
from kwaflux_core.settings.settings import settings_table
from kwaflux_testing.packages import REPOSITORY
from reference_pages import main, pages

DOCS = REPOSITORY / "docs"


@pytest.mark.parametrize("name", pages())
def test_a_generated_page_is_up_to_date(name: str) -> None:
    path = DOCS / name
    stands = path.read_text(encoding="utf-8") if path.is_file() else ""
    assert stands == pages()[name], f"docs/{name} is not what the code says; refresh it: make docs"


def test_make_docs_writes_what_is_compared(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 0
    assert {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()} == pages()


def test_every_error_setting_and_effect_has_its_place() -> None:
    made = pages()
    assert all(f"| `{code}` |" in made["errors.md"] for code in all_errors())
    rows = settings_table()
    assert all(f"| `{row.name}` | `{row.variable}` |" in made["settings.md"] for row in rows)
    cards = list((REPOSITORY / "models" / "kwaflux_models").glob("effects/*/card.json"))
    assert cards
    assert all(f"\n## {card.parent.name}\n" in made["effects.md"] for card in cards)
