"""What every test stands on: no network, few threads, no trace in the user's own caches."""

from __future__ import annotations

import functools
import gc
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

REPO = Path(__file__).resolve().parents[1]

# Read at import time by the libraries they steer, so they are set before any test is collected.
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# A deadline would fail examples on a busy machine.
settings.register_profile("lnat", deadline=None)
settings.load_profile("lnat")


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a Hugging Face home of its own."""
    home = tempfile.TemporaryDirectory(prefix="lnat-tests-", ignore_cleanup_errors=True)
    os.environ["HF_HOME"] = home.name
    config.add_cleanup(home.cleanup)


def describe_once() -> None:
    """lm-eval describes the machine in every result, by a dozen programs: here once a process."""
    from torch.utils import collect_env

    if not hasattr(collect_env.get_pretty_env_info, "cache_info"):
        collect_env.get_pretty_env_info = functools.cache(collect_env.get_pretty_env_info)


_LONGEST = ("test_torture.py", "test_interrupt.py")
"""Files that take minutes; they come first, or one process works on them after all others end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in _LONGEST)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The repository's root: the tests need the checkout, whatever package they import."""
    return REPO


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real traces and small students that stand beside the repository on some machines."""
    folder = REPO.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("no shared data beside the repository (../shared)")
    return folder


@pytest.fixture(scope="module", autouse=True)
def done_once() -> None:
    """What would be done again in every test: seconds each, of many tests."""
    # Trainers collect garbage at every turn, among all that torch and TRL have made.
    gc.collect()
    gc.freeze()
    if "torch" in sys.modules:
        describe_once()


@pytest.fixture(autouse=True)
def readable_log() -> Iterator[None]:
    """Once lm-eval's command has run in this process, its log no longer reaches pytest."""
    log = logging.getLogger("lm_eval")
    before = log.propagate, log.level
    log.propagate = True
    log.setLevel(logging.NOTSET)
    yield
    log.propagate = before[0]
    log.setLevel(before[1])


@pytest.fixture(autouse=True)
def progress_bars_as_before() -> Iterator[None]:
    """A command that turns progress bars off, in this process, does so for its own test alone."""
    yield
    if (module := sys.modules.get("huggingface_hub.utils.tqdm")) is not None:
        module.progress_bar_states.clear()


@pytest.fixture
def progress_bars_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars are on; the variable above turns Hugging Face's off."""
    module = sys.modules["huggingface_hub.utils.tqdm"]
    monkeypatch.setattr(module, "HF_HUB_DISABLE_PROGRESS_BARS", None)
