"""A table in the look of lm-eval's own. Knows nothing of what stands in it."""

from __future__ import annotations

from collections.abc import Sequence

from pytablewriter import MarkdownTableWriter
from pytablewriter.style import Style
from pytablewriter.typehint import String


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """The table as markdown without a closing line break.

    Args:
        headers: one a column.
        rows: cells as text, written as they are.
        left: how many columns, from the first, are aligned to the left; the others to the right.
    """
    writer = MarkdownTableWriter(headers=list(headers), value_matrix=[list(row) for row in rows])
    # As text: the writer would otherwise cut trailing zeros column by column.
    writer.type_hints = [String] * len(headers)
    writer.column_styles = [
        Style(align="left" if column < left else "right") for column in range(len(headers))
    ]
    table: str = writer.dumps()
    return table.rstrip("\n")
