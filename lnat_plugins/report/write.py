"""Writes a report: the page, or its first plot as a picture, as the file's name says."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from lnat_plugins import __version__
from lnat_plugins.errors import ConfigError
from lnat_plugins.outputs import check_file, marked, write_atomic
from lnat_plugins.report.data import ReportOptions
from lnat_plugins.report.page import MAX_SIZE, report
from lnat_plugins.report.plots import picture
from lnat_plugins.scoring.samples import ScoredSet

FORMATS: Final = ("html", "png", "svg")

_PNG_HEAD: Final = 33
"""Bytes of a PNG's signature and first chunk, behind which others may stand."""

_OPTION: Final = "the report"
_IS_OURS: Final = marked(
    rb'<meta name="generator" content="lnat-plugins |<!-- lnat-plugins |tEXtSoftware\0lnat-plugins '
)
"""What a page, an SVG and a PNG have in their heads."""


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


def check_report(path: Path, overwrite: bool = False) -> None:
    """Refuse to replace a file that is no report of ours (ConfigError); see `check_file`."""
    check_file(path, _IS_OURS, overwrite=overwrite, option=_OPTION)


def write_report(
    path: Path, scored: ScoredSet, options: ReportOptions, *, prompts: int | None = None,
    others: Sequence[ScoredSet] = (), max_size: float = MAX_SIZE, format: str | None = None,
    overwrite: bool = False,
) -> None:  # fmt: skip
    """Write it; `prompts`, `others` and `max_size` are those of `report`, for a page alone.

    Raises:
        ConfigError, DataError: as `report`, `format_of` and `check_report`, or the file cannot be
            written.
    """
    kind = format_of(path, format)
    check_report(path, overwrite)
    content: str | bytes
    if kind == "html":
        content = report(scored, options, prompts, others, max_size)
    else:
        content = _signed(picture(scored, options, "png" if kind == "png" else "svg"))
    write_atomic(path, content, _OPTION)


def _signed(picture: bytes) -> bytes:
    """A picture that says in its head who wrote it, as the page does: a PNG's text chunk, or a
    comment in an SVG."""
    software = f"lnat-plugins {__version__}".encode()
    if picture.startswith(b"\x89PNG"):
        chunk = b"tEXtSoftware\0" + software
        whole = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return picture[:_PNG_HEAD] + whole + picture[_PNG_HEAD:]
    tag, end, rest = picture.partition(b">")
    return b"".join([tag, end, b"<!-- ", software, b" -->", rest])
