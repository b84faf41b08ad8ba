"""docs/selection.md names every key, strategy, option, reason and stored field, each in a table.

And what the documents link to is there.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from lnat_plugins.selection import KEYS, Selection
from lnat_plugins.selection.strategies import STRATEGIES
from tests.conftest import REPO

_CODE = re.compile(r"`` (.+?) ?``|``(.+?)``|`(.+?)`")


def first_cells(text: str, heading: str) -> set[str]:
    """What stands as code in the first cells of the tables below that heading."""
    _, found, section = text.partition(f"\n## {heading}\n")
    assert found, f"no heading {heading!r}"
    rows = re.findall(r"^\| (.*?) \|", section.partition("\n## ")[0], re.MULTILINE)
    return {part for row in rows for match in _CODE.findall(row) for part in match if part}


def untold(names: Iterable[str], told: set[str]) -> list[str]:
    """The names that no first cell tells."""
    return sorted(set(names) - told)


def options() -> set[str]:
    return {name for strategy in STRATEGIES.values() for name in strategy.options}


def fields() -> set[str]:
    return {one.name for one in dataclasses.fields(Selection)}


def reasons(text: str) -> set[str]:
    """As told, but for what differs from row to row, and so stands behind a colon."""
    return {reason.partition(":")[0] for reason in first_cells(text, "Why a row was dropped")}


PAGES = sorted(
    page.relative_to(REPO).as_posix()
    for page in (*(REPO / "docs").rglob("*.md"), REPO / "README.md", REPO / "CONTRIBUTING.md")
)


@pytest.fixture(scope="module")
def text(repo: Path) -> str:
    return (repo / "docs" / "selection.md").read_text(encoding="utf-8")


def headings(page: Path) -> set[str]:
    """As links name them."""
    return {
        re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }


def dead_links(page: Path) -> list[str]:
    """Links to files that are not there, or to headings that their page does not have."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        name, _, heading = link.partition("#")
        target = page.parent / name if name else page
        if link.startswith("http") or (
            target.exists() and (not heading or heading in headings(target))
        ):
            continue
        dead.append(link)
    return dead


def test_dead_links_are_caught(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One thing\n\n## Another, `coded`\n")
    page = tmp_path / "page.md"
    good = ("#here", "other.md", "other.md#another-coded", "https://example.org#x")
    bad = ("#there", "gone.md", "gone.md#here", "other.md#here")
    page.write_text("## Here\n" + "".join(f"[text]({link})\n" for link in (*good, *bad)))
    assert dead_links(page) == [*bad]


def test_every_key_is_told_and_no_other(text: str) -> None:
    assert first_cells(text, "The keys") == set(KEYS)


def test_every_strategy_and_every_option_is_told_and_no_other(text: str) -> None:
    assert first_cells(text, "Strategies") == set(STRATEGIES) | options()


def test_an_option_says_whose_it_is(text: str) -> None:
    for strategy in STRATEGIES.values():
        for option in strategy.options:
            assert f"\n| `{option}` | `{strategy.name}` |" in text


def test_every_strategy_names_its_source(text: str) -> None:
    for strategy in STRATEGIES.values():
        (line,) = re.findall(rf"^\| `{strategy.name}` \|.*\| (.*)\|$", text, re.MULTILINE)[:1]
        number = re.search(r"arXiv [\d.]+", strategy.source)
        assert (number[0] if number else "") in line
        assert bool(number) == bool(line.strip())


def test_every_reason_is_told(text: str) -> None:
    wanted = {strategy.default_reason for strategy in STRATEGIES.values()}
    assert untold(wanted, reasons(text)) == []


def test_every_stored_field_is_told(text: str) -> None:
    assert untold(fields(), first_cells(text, "What is written")) == []


@pytest.mark.parametrize("key", KEYS)
def test_a_key_without_a_line_is_caught(text: str, key: str) -> None:
    shorter = re.sub(rf"^\| `{key}` \|.*\n", "", text, flags=re.MULTILINE)
    assert untold(KEYS, first_cells(shorter, "The keys")) == [key]


def test_what_only_stands_in_prose_is_caught(text: str) -> None:
    prose = text.replace("| `best_teacher` |", "| the best teacher |")
    assert untold(STRATEGIES, first_cells(prose, "Strategies")) == ["best_teacher"]
    prose = text.replace("| `short of the threshold` |", "| too low |")
    assert untold([STRATEGIES["threshold"].default_reason], reasons(prose)) != []
    prose = text.replace("| `budget` | `weighted` |", "| budget | `weighted` |")
    assert untold(options(), first_cells(prose, "Strategies")) == ["budget"]


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str) -> None:
    assert dead_links(REPO / name) == []


def test_every_document_is_in_the_index() -> None:
    index = (REPO / "docs" / "index.md").read_text(encoding="utf-8")
    names = {path.name for path in (REPO / "docs").glob("*.md")} - {"index.md"}
    assert [name for name in sorted(names) if f"({name})" not in index] == []


def test_a_dead_link_is_caught(tmp_path: Path) -> None:
    page = tmp_path / "a.md"
    page.write_text("# A b\n[x](a.md) [y](#a-b) [z](http://z) [p](gone.md) [q](#c)\n")
    assert dead_links(page) == ["gone.md", "#c"]
