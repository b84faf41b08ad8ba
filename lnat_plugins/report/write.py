"""Writes a report: the page, or its first plot as a picture, as the file's name says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lnat_plugins.errors import ConfigError
from lnat_plugins.files import write_atomic
from lnat_plugins.report.data import ReportOptions
from lnat_plugins.report.page import MAX_SIZE, report
from lnat_plugins.report.plots import picture
from lnat_plugins.scoring.samples import ScoredSet

FORMATS: Final = ("html", "png", "svg")


def format_of(path: Path | None, format: str | None) -> str:
    """One of `FORMATS`: as requested, else by the path's suffix, else "html".

    Raises:
        ConfigError: no such format, or the suffix says another one.
    """
    suffix = "" if path is None else path.suffix.removeprefix(".").lower()
    by_suffix = "html" if suffix in ("", "htm") else suffix
    if format is not None and format not in FORMATS:
        raise ConfigError("no such format", where="--format", found=format,
                          remedy=f"give one of {', '.join(FORMATS)}")  # fmt: skip
    if suffix in ("htm", *FORMATS) and format not in (None, by_suffix):
        raise ConfigError(
            f"the file's name says {by_suffix}, and --format says {format}",
            where="--output_path", found=str(path), remedy="give one of them, or the same in both",
        )  # fmt: skip
    return format or (by_suffix if by_suffix in FORMATS else "html")


def write_report(
    path: Path, scored: ScoredSet, options: ReportOptions, *, prompts: int | None = None,
    others: Sequence[ScoredSet] = (), max_size: float = MAX_SIZE, format: str | None = None,
) -> None:  # fmt: skip
    """Write it; `prompts`, `others` and `max_size` are those of `report`, for a page alone.

    Raises:
        ConfigError, DataError: as `report` and `format_of`, or the file cannot be written.
    """
    kind = format_of(path, format)
    content: str | bytes
    if kind == "html":
        content = report(scored, options, prompts, others, max_size)
    else:
        content = picture(scored, options, "png" if kind == "png" else "svg")
    write_atomic(path, content, "the report")
