"""Which loader reads a file, and what a loader may give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lnat_plugins.errors import ConfigError, DataError
from lnat_plugins.teacher_set import LOADERS, Loader, Row
from tests.teacher_set.conftest import Load, jsonl, row, two


def read_bars(path: Path, shown: str) -> Iterator[dict[str, Any]]:
    """`prompt|teacher|response`, a row a line."""
    for line in path.read_text().splitlines():
        yield dict(zip(("prompt", "teacher", "response"), line.split("|"), strict=True))


def read_typeless(path: Path, shown: str) -> Iterator[Row]:
    for number, values in enumerate(read_bars(path, shown)):
        yield Row({**values, "correct": "true"}, f"line {number}", typed=False)


BARS = {"bars": Loader("bars", (".bars",), read_bars)}
TEXT = "p|A|a.\np|B|b.\n"


def test_every_built_in_suffix_has_one_loader() -> None:
    suffixes = [suffix for loader in LOADERS.values() for suffix in loader.suffixes]
    assert suffixes == [".jsonl", ".ndjson", ".json", ".csv", ".parquet"]
    assert all(name == loader.name for name, loader in LOADERS.items())


def test_a_loader_reads_the_files_of_its_suffix(load: Load) -> None:
    found = load({"rows.bars": TEXT}, "rows.bars", loaders=BARS)
    assert [one.text for one in found.prompts[0].responses] == ["a.", "b."]
    assert found.prompts[0].responses[1].where == "rows.bars row 2"


def test_a_folder_gives_the_files_that_some_loader_reads(load: Load) -> None:
    files = {"d/a.bars": TEXT, "d/b.jsonl": jsonl(*two("q")), "d/c.txt": "no rows"}
    assert load(files, "d", loaders=BARS).n_responses == 4
    with pytest.raises(DataError, match="a.bars"):
        load({}, "d/a.bars")


def test_a_row_may_say_itself_where_it_stands_and_that_it_is_text(load: Load) -> None:
    loaders = {"bars": Loader("bars", (".bars",), read_typeless)}
    first = load({"rows.bars": TEXT}, "rows.bars", loaders=loaders).prompts[0].responses[0]
    assert (first.where, first.correct) == ("line 0", True)


def test_a_named_loader_reads_whatever_is_named(load: Load) -> None:
    unasked = {"bars": Loader("bars", (), read_bars)}
    for name in ("rows.txt", "rows.jsonl"):
        found = load({name: TEXT}, name, loaders=unasked, loader="bars")
        assert found.n_responses == 2
    found = load({"d/rows.jsonl": TEXT, "d/notes.md": "x"}, "d", loaders=unasked, loader="bars")
    assert found.n_responses == 2


def test_an_unknown_loader_offers_the_nearest(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"naturalness: loader: unknown loader .*mean 'jsonl'"):
        load(two(), loader="jsonll")


def test_a_loader_has_nothing_to_read_in_a_hub_dataset(load: Load) -> None:
    with pytest.raises(ConfigError, match="a loader reads files.*hf://datasets/owner/name"):
        load({}, "owner/name", loader="jsonl")


def test_what_no_loader_reads_names_those_there_are(load: Load) -> None:
    with pytest.raises(DataError, match=r"Give one of \.jsonl, .*\.bars, or name a loader"):
        load({"rows.txt": TEXT}, "rows.txt", loaders=BARS)


@pytest.mark.parametrize("given", [["p", "A", "a."], None, "p|A|a."])
def test_something_else_than_a_row_is_refused(load: Load, given: Any) -> None:
    broken = {"bars": Loader("bars", (".bars",), lambda path, shown: [row(), given])}
    with pytest.raises(DataError, match="rows.bars row 2: loader 'bars' gave .* no row"):
        load({"rows.bars": TEXT}, "rows.bars", loaders=broken)


def test_a_loader_without_rows_is_an_empty_file(load: Load) -> None:
    silent = {"bars": Loader("bars", (".bars",), lambda path, shown: ())}
    with pytest.raises(DataError, match="rows.bars: there is no row"):
        load({"rows.bars": TEXT}, "rows.bars", loaders=silent)
