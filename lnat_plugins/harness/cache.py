"""`--use_cache`: scored responses kept as they come, so that a killed run can be resumed.

lm-eval looks up only its own request types in the cache; ours are looked up here, in the same file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from lm_eval.api.model import hash_args

from lnat_plugins.scoring.part import Part
from lnat_plugins.scoring.record import StepSums
from lnat_plugins.teacher_set.layouts import reward_of
from lnat_plugins.teacher_set.prompts import Response

_SAMPLED_VALUES: Final = 64


class RecordCache:
    """Reads and writes the records of one student through lm-eval's cache hook.

    The key holds all that decides the numbers, the student's weights included, so that a cache
    left by another student or other settings is not taken for this one's.
    """

    def __init__(self, lm: Any, request_type: str) -> None:
        self._hook = lm.cache_hook
        self._request_type = request_type
        self._student = student_fingerprint(lm) if self.used else ""

    @property
    def used(self) -> bool:
        """Whether the run has a cache."""
        return self._hook.dbdict is not None

    def find(
        self, digest: str, response: Response, settings_hash: str, wanted: frozenset[str],
        part: Part | None = None,
    ) -> StepSums | None:  # fmt: skip
        """The record of a response that was scored before, with all statistics wanted, or None.

        `digest` is of its row's token ids; `part` is what was read of it, None for all.
        """
        if not self.used:
            return None
        key = self._key(digest, response, settings_hash, part.as_dict() if part else {})
        stored = self._hook.dbdict.get(hash_args(self._request_type, key))
        if stored is None:
            return None
        record = StepSums.from_json(stored)
        gathered = {*record.step_statistics, *record.statistics, *record.undefined}
        return record if wanted <= gathered else None

    def keep(self, response: Response, record: StepSums) -> None:
        """Writes a record at once."""
        key = self._key(record.ids_digest, response, record.settings_hash, record.part)
        self._hook.add_partial(self._request_type, key, record.to_json())

    def _key(
        self, digest: str, response: Response, settings_hash: str, part: Mapping[str, Any]
    ) -> list[Any]:
        steps = None if response.steps is None else list(response.steps)
        reward = reward_of(response.extra, response.where)
        row = [response.teacher, response.sample, reward]
        key = [self._student, settings_hash, digest, response.text, steps, row]
        return [*key, dict(part)] if part else key


def student_fingerprint(lm: Any) -> str:
    """12 hex digits, by context, tokenizer, configuration and a sample of the weights.

    A student that lives elsewhere is known by its name alone.
    """
    digest = hashlib.sha256(type(lm).__name__.encode())
    digest.update(f"{getattr(lm, 'model_args', '')}{getattr(lm, 'max_length', '')}".encode())
    # The whole of a fast tokenizer: the same text must become the same ids.
    fast = getattr(lm.tokenizer, "backend_tokenizer", None)
    digest.update((str(type(lm.tokenizer)) if fast is None else fast.to_str()).encode())
    model: Any = getattr(lm, "_model", None) or getattr(lm, "model", None)
    if hasattr(model, "named_parameters"):
        # How the weights are read (positions, scales, sliding windows), not where they lie.
        values: dict[str, Any] = model.config.to_dict() if hasattr(model, "config") else {}
        kept = {k: v for k, v in values.items() if k[0] != "_" and k != "transformers_version"}
        digest.update(json.dumps(kept, sort_keys=True, default=str).encode())
        for name, weight in model.named_parameters():
            flat = weight.detach().reshape(-1)
            sample = flat[:: max(1, flat.numel() // _SAMPLED_VALUES)].float().cpu().numpy()
            digest.update(f"{name}{tuple(weight.shape)}{weight.dtype}".encode())
            digest.update(sample.tobytes())
    elif isinstance(model, str):
        digest.update(model.encode())
    return digest.hexdigest()[:12]
