"""Protected regions, as pieces of the text."""

from __future__ import annotations

import pytest

from lnat_plugins.steps.protected import protected_regions


def pieces(text: str) -> list[str]:
    return [text[start:end] for start, end in protected_regions(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Let $x$ and $y + 1$ be.", ["$x$", "$y + 1$"]),
        ("So $5$ and $12$.", ["$5$", "$12$"]),
        ("So $\\$5 + \\$6$ it is.", ["$\\$5 + \\$6$"]),
        ("Pay $5 and $6.", []),
        ("Pay $5 or so$ then.", []),
        ("Pay $20 to the $man$.", ["$man$"]),
        ("Pay $a and b$4 more.", []),
        ("Pay A$a and b$ more.", []),
        ("Pay $ b$ more.", []),
        ("Let $x'$, or 5$.", ["$x'$"]),
        ("A $ alone, $ spaced $.", []),
        ("In \\$5 and \\$6$.", []),
        ("One $a\n\nb$ two.", []),
        ("One $a\nb$ two.", ["$a\nb$"]),
        ("$$a$$ and $b$", ["$$a$$", "$b$"]),
        ("\\(a\\) \\[b\\]", ["\\(a\\)", "\\[b\\]"]),
        ("\\( open, \\(a\\)", ["\\(a\\)"]),
        ("\\[a\n\nb\\]", []),
        ("a \\\\[2pt] b \\]", []),
        (
            "\\begin{a}x\\begin{b}y\\end{b}\n\nz\\end{a}",
            ["\\begin{a}x\\begin{b}y\\end{b}\n\nz\\end{a}"],
        ),
        ("\\begin{a}x\\begin{b}y\\end{b}", ["\\begin{b}y\\end{b}"]),
        ("\\begin{a}x\\begin{b}y\\end{a}z\\end{b}", ["\\begin{a}x\\begin{b}y\\end{a}"]),
        ("\\begin{}x\\end{} y\\end{}", ["\\begin{}x\\end{}"]),
        ("\\end{a}\\begin{a}", []),
        ("`a` and ``b ` c``", ["`a`", "``b ` c``"]),
        ("`a\n\nb`", []),
        ("```\na\n\nb\n```\nc", ["```\na\n\nb\n```"]),
        ("````\n```\na\n````", ["````\n```\na\n````"]),
        ("```py\na\n```py\nb\n```", ["```py\na\n```py\nb\n```"]),
        ("```\r\na\r\n```\r\nb", ["```\r\na\r\n```"]),
        ("~~~\n```\n~~~", ["~~~\n```\n~~~"]),
        ("```\na `b` c", ["`b`"]),
        ("```\na `b` c\n~~~\nd", ["`b`"]),
        ("a ` b\n```\nx\n```\nc ` d", ["```\nx\n```"]),
        ("`$a` and $b$", ["`$a`", "$b$"]),
        ("no marks at all", []),
    ],
)
def test_regions(text: str, expected: list[str]) -> None:
    assert pieces(text) == expected


@pytest.mark.parametrize("mark", ["$", "$$", "\\(", "\\[", "`", "```\n", "~~~\n", "\\begin{a}"])
def test_an_unclosed_mark_protects_nothing(mark: str) -> None:
    assert pieces(f"{mark}a. B") == []
