"""The site builds without a warning and without a network, and its pages load nothing from one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import pytest

LOADED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"((?:https?:)?//[^\"]*)\"")
IMPORTED = re.compile(r"(?:@import|url\()\s*[\"']?((?:https?:)?//[^\"')]*)")

if not find_spec("sphinx"):
    pytest.skip("no sphinx: the extra `docs` needs Python 3.11", allow_module_level=True)


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """`make docs`, without its virtual environment.

    Not from the checkout, which `python -m` would put before the installed package.
    """
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    return subprocess.run(
        [*command, str(source), str(target)],
        cwd=target.parent, capture_output=True, text=True, check=False,
    )  # fmt: skip


def remote(pages: Iterable[str]) -> set[str]:
    """What pages load from elsewhere; links that are followed by hand are not loaded."""
    return {
        one for text in pages for pattern in (LOADED, IMPORTED) for one in pattern.findall(text)
    }


@pytest.fixture(scope="module")
def site(repo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = build(repo / "docs", target)
    assert (done.returncode, done.stderr) == (0, "")
    return target


def test_every_page_is_there(site: Path, repo: Path) -> None:
    pages = {
        p.relative_to(repo / "docs").with_suffix("").as_posix() for p in repo.glob("docs/**/*.md")
    }
    assert {p for p in pages if not (site / f"{p}.html").is_file()} == set()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.suffix in (".html", ".css")]
    assert len(files) > 20
    assert remote(path.read_text(encoding="utf-8") for path in files) == set()


def test_formulas_are_drawn_by_the_browser(site: Path) -> None:
    assert "<math" in (site / "method.html").read_text(encoding="utf-8")


def test_names_are_documented(site: Path) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    for name in ("lnat_plugins.score", "lnat_plugins.hooks.trl_sft.NaturalSFTTrainer"):
        assert f'id="{name}"' in page


def test_a_page_that_is_wrong_is_caught(repo: Path, tmp_path: Path) -> None:
    conf = (repo / "docs" / "conf.py").read_text(encoding="utf-8")
    (tmp_path / "conf.py").write_text(conf, encoding="utf-8")
    (tmp_path / "index.md").write_text("# One\n\n[gone](gone.md)\n", encoding="utf-8")
    done = build(tmp_path, tmp_path / "out")
    assert done.returncode == 1 and "gone" in done.stderr


def test_what_is_loaded_from_elsewhere_is_caught() -> None:
    text = '<a href="https://a.org"><script src="https://b.org/x.js"></script> url(//c.org/f.woff)'
    assert remote([text]) == {"https://b.org/x.js", "//c.org/f.woff"}
