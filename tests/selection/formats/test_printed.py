"""What every format says of training on its files, and of what is not trained on, to the letter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lnat_plugins.errors import LnatError
from lnat_plugins.selection.formats import FORMATS, Chosen, Format
from tests.selection.builders import four_rows, selection_of

PRINTED = Path(__file__).parents[2] / "data" / "printed" / "formats.md"

CASES: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "conversations": ({}, {}),
    "plain text": ({"plain": True}, {}),
    "earlier turns, weights, an order": (
        {"roles": ["user", "assistant", "user"]},
        {"weights": (0.25, 0.75), "settings": {"strategy": "best", "order": "random"}},
    ),
    "right and wrong rows": ({"correct": [True, True, False, None]}, {}),
}


def printed() -> Iterator[str]:
    for case, (of_rows, of_selection) in CASES.items():
        pool = four_rows(**of_rows)
        wrong = selection_of(pool, (0, 3), strategy="best") if case.startswith("right") else None
        for longest in (None, 300) if case == "conversations" else (300,):
            chosen = Chosen(
                pool, selection_of(pool, **of_selection), wrong, longest, Path("chosen")
            )
            for form in FORMATS.values():
                yield f"# {form.name}: {case}, longest row: {longest}\n"
                yield of(form, chosen)


def of(form: Format, chosen: Chosen) -> str:
    try:
        form.refuse(chosen)
        said = "".join(f"- {line}\n" for line in form.said(chosen))
        texts = "".join(f"\n{name}:\n{write(chosen)}" for name, write in form.texts.items())
        return f"{form.training(chosen)}{said}{texts}\n"
    except LnatError as error:
        return f"{error}\n"


def test_what_every_format_says() -> None:
    assert "\n".join(printed()) == PRINTED.read_text(encoding="utf-8")
