"""examples/quickstart.ipynb runs from the first cell to the last, and shows what it promises."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from .scripts import EXAMPLES

NOTEBOOK = EXAMPLES / "quickstart.ipynb"


def shown(cell: Any) -> str:
    """What a cell prints and shows, as text; bars go to standard error."""
    return "".join(
        output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
        for output in cell["outputs"]
        if output.get("name") != "stderr"
    )


@pytest.mark.timeout(600)
@pytest.mark.skipif(not find_spec("nbclient"), reason="nbclient comes with Python 3.11")
def test_it_runs_and_shows_the_ranking(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    cells = {cell["id"]: cell for cell in notebook.cells}
    assert shown(cells["score"]).startswith("<Scores of 160 responses to 20 prompts")
    assert "plain" in shown(cells["rank"]) and "not ruled out at 95%" in shown(cells["rank"])
    assert "<table" in "".join(
        str(output.get("data", {}).get("text/html", "")) for output in cells["rank"]["outputs"]
    )
    (chart,) = cells["plot"]["outputs"]
    assert any("vega" in kind or "html" in kind for kind in chart["data"])
    assert "global_naturalness" in shown(cells["pandas"])
    assert "'plain': 20" in shown(cells["select"])


def test_it_is_kept_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
