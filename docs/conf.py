"""Sphinx: the Markdown of this folder as a site. `make docs` builds it, with no network.

The pages are written for GitHub first: plain links, and formulas in fences of `math`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import docutils.nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml

import lnat_plugins

project = "lnat-plugins"
author = "lnat-plugins contributors"
copyright = author  # noqa: A001
version = release = lnat_plugins.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"lnat-plugins {release}"
html_show_copyright = False
html_copy_source = False
html_math_renderer = "mathml"

nitpicky = True
# Python names are linked where they are documented; most annotations name what is not.
nitpick_ignore_regex = [(r"py:.*", r".*")]
default_role = "literal"  # docstrings put one backtick around code

myst_heading_anchors = 4
myst_fence_as_directive = {"math"}
myst_enable_extensions = ["dollarmath"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False

PAGES: Final = (
    "quickstart", "teacher_sets", "layouts", "conversations", "metrics/index", "ranking", "report",
    "selection", "training", "trainers", "plugins", "study", "evidence", "performance", "vllm",
    "sglang", "clusters", "method", "troubleshooting", "cli", "api", "glossary",
)  # fmt: skip
"""In the order of the navigation; a page that is not there yet is left out."""

_OUTSIDE: Final = re.compile(r"(?<!!)\[([^\]]*)\]\((\.\./[^)\s#]+)(#[^)\s]*)?\)")


def _links_out(_app: Any, docname: str, source: list[str]) -> None:
    """Links to files of the repository become downloads; a folder keeps its name alone."""
    here = Path(__file__).parent / Path(docname).parent

    def link(found: re.Match[str]) -> str:
        target = (here / found[2]).resolve()
        if target.is_relative_to(Path(__file__).parent):
            return found[0]
        return f"[{found[1]}](path:{found[2]})" if target.is_file() else found[1]

    source[0] = _OUTSIDE.sub(link, source[0])


def _navigation(app: Any, docname: str, source: list[str]) -> None:
    """Tables of contents, which on GitHub would be code."""
    pages: list[str] = []
    if docname == "index":
        pages = [page for page in PAGES if page in app.project.docnames]
    elif docname == "metrics/index":
        found = sorted(page for page in app.project.docnames if page.startswith("metrics/"))
        pages = [f"/{page}" for page in found if page != docname]
    if pages:
        source[0] += "\n```{toctree}\n:hidden:\n\n" + "\n".join(pages) + "\n```\n"


def _mathml(self: Any, node: docutils.nodes.Element) -> None:
    """MathML, which browsers draw themselves: no script and no font is loaded."""
    block = isinstance(node, docutils.nodes.math_block)
    try:
        self.body.append(tex2mathml(node.astext(), as_block=block))
    except MathError as cause:
        raise ValueError(f"{node.source}: {node.astext()}: {cause}") from cause
    raise docutils.nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Sphinx calls it."""
    app.connect("source-read", _links_out)
    app.connect("source-read", _navigation)
    app.add_html_math_renderer("mathml", (_mathml, None), (_mathml, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
