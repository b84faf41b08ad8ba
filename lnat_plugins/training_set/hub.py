"""A training set on the Hugging Face Hub. Knows nothing of what is in it."""

from __future__ import annotations

from pathlib import Path

from lnat_plugins.errors import ConfigError
from lnat_plugins.training_set.sft_config import SFT_CONFIG


def check_repo_id(repo_id: str) -> None:
    """Refuse what cannot be a repository's name, before anything is written.

    Raises:
        ConfigError: says what is wrong with it.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repo_id)
    except HFValidationError as cause:
        raise ConfigError(
            f"no repository can have this name: {cause}",
            found=repo_id,
            remedy="give --push_to_hub a name such as me/chosen-traces",
        ) from None


def push_to_hub(folder: str | Path, repo_id: str, *, private: bool = True) -> str:
    """Upload a training set as a data set's repository, made if it is not there; its address.

    `sft.yaml` stays behind: its paths are those of this machine.

    Args:
        folder: as `write_training_set` wrote it.
        repo_id: "name" or "owner/name".
        private: whether a new repository is private; one that is there stays as it is.

    Raises:
        ConfigError: the Hub refuses or cannot be reached; the folder is left as it is.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo_id,
            repo_type="dataset",
            folder_path=folder,
            ignore_patterns=[SFT_CONFIG],
            commit_message="Training set chosen by lnat-plugins",
        )
    except Exception as cause:
        # The client's errors have no root of their own, and its transport brings more.
        first, *_ = str(cause).strip().splitlines() or [type(cause).__name__]
        raise ConfigError(
            f"the training set was not uploaded: {first.rstrip('.')}",
            where=repo_id,
            remedy=f"log in with `hf auth login`, or upload the folder {folder} yourself",
        ) from cause
    return f"https://huggingface.co/datasets/{repo_id}"
