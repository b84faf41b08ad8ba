"""The upload: what the Hub is asked for, and every refusal as one error. Nothing is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalTokenNotFoundError

from lnat_plugins.errors import ConfigError
from lnat_plugins.selection.training_set import check_repo_id, push_to_hub


class FakeHub:
    """Remembers what it is asked for; fails where it is told to."""

    def __init__(self, failures: dict[str, Exception] | None = None) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failures = failures or {}

    def create_repo(self, repo_id: str, **more: Any) -> None:
        self._call("create_repo", {"repo_id": repo_id, **more})

    def upload_folder(self, **more: Any) -> None:
        self._call("upload_folder", more)

    def _call(self, name: str, arguments: dict[str, Any]) -> None:
        self.calls.append((name, arguments))
        if name in self.failures:
            raise self.failures[name]


def hub(monkeypatch: pytest.MonkeyPatch, failures: dict[str, Exception] | None = None) -> FakeHub:
    fake = FakeHub(failures)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: fake)
    return fake


def test_a_new_repository_is_private_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = hub(monkeypatch)
    address = push_to_hub(tmp_path, "me/chosen")
    assert address == "https://huggingface.co/datasets/me/chosen"
    push_to_hub(tmp_path, "me/chosen", private=False)
    made = [more for name, more in fake.calls if name == "create_repo"]
    assert [one["private"] for one in made] == [True, False]
    assert all(one["exist_ok"] and one["repo_type"] == "dataset" for one in made)


def test_the_folder_goes_up_without_this_machine_s_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = hub(monkeypatch)
    push_to_hub(tmp_path, "me/chosen")
    name, asked = fake.calls[1]
    assert name == "upload_folder"
    assert (asked["folder_path"], asked["repo_id"]) == (tmp_path, "me/chosen")
    assert asked["repo_type"] == "dataset"
    assert asked["ignore_patterns"] == ["sft.yaml"]


@pytest.mark.parametrize("call", ["create_repo", "upload_folder"])
@pytest.mark.parametrize(
    "cause",
    [
        LocalTokenNotFoundError("no token.\nmore words"),
        ConnectionError("no token"),
        ValueError("no token"),
    ],
)
def test_a_refusal_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, cause: Exception
) -> None:
    hub(monkeypatch, {call: cause})
    expected = (
        f"me/chosen: the training set was not uploaded: no token. Log in with `hf auth login`, or "
        f"upload the folder {tmp_path} yourself."
    )
    with pytest.raises(ConfigError) as caught:
        push_to_hub(tmp_path, "me/chosen")
    assert str(caught.value) == expected
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize("name", ["a/b/c", "me/..", "-me", ""])
def test_a_name_that_no_repository_can_have(name: str) -> None:
    with pytest.raises(ConfigError, match="no repository can have this name"):
        check_repo_id(name)
    check_repo_id("me/chosen")
