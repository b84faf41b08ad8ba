"""`--use_cache`: scored responses kept as they come, so that a killed run goes on.

lm-eval looks up only its own request types in the cache; ours are looked up here, in the
same file. The key holds all that decides the numbers, the student's weights included, so
a cache left by another student or other settings is not mistaken for this one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from lm_eval.api.model import hash_args

from lnat_plugins.record import StepSums
from lnat_plugins.scorer import Candidate

REQUEST = "naturalness"
_SAMPLED_VALUES = 64


class Cache:
    """Reads and writes the records of one student through lm-eval's cache hook."""

    def __init__(self, lm: Any) -> None:
        self._hook = lm.cache_hook
        self._student = student_fingerprint(lm) if self.used else ""

    @property
    def used(self) -> bool:
        """Whether the run has a cache."""
        return self._hook.dbdict is not None

    def find(
        self, prompt: Sequence[int], one: Candidate, settings_hash: str, wanted: frozenset[str]
    ) -> StepSums | None:
        """The record of a response that was scored before, with all statistics wanted, or None."""
        if not self.used:
            return None
        stored = self._hook.dbdict.get(hash_args(REQUEST, self._key(prompt, one, settings_hash)))
        if stored is None:
            return None
        record = StepSums.from_json(stored)
        told = {*record.step_statistics, *record.statistics, *record.undefined}
        return record if wanted <= told else None

    def keep(self, prompt: Sequence[int], one: Candidate, record: StepSums) -> None:
        """Writes a record at once."""
        key = self._key(prompt, one, record.settings_hash)
        self._hook.add_partial(REQUEST, key, record.to_json())

    def _key(self, prompt: Sequence[int], one: Candidate, settings_hash: str) -> list[Any]:
        steps = None if one.steps is None else list(one.steps)
        where = [one.teacher, one.sample, one.reward]
        return [self._student, settings_hash, list(map(int, prompt)), one.text, steps, where]


def student_fingerprint(lm: Any) -> str:
    """Tells one student from another.

    By context, tokenizer, configuration and a sample of the weights; a student that lives
    elsewhere by its name alone.
    """
    digest = hashlib.sha256(type(lm).__name__.encode())
    digest.update(f"{getattr(lm, 'model_args', '')}{getattr(lm, 'max_length', '')}".encode())
    digest.update(_tokenizer(lm.tokenizer).encode())
    model: Any = getattr(lm, "_model", None) or getattr(lm, "model", None)
    if hasattr(model, "named_parameters"):
        digest.update(_configuration(model).encode())
        for name, weight in model.named_parameters():
            flat = weight.detach().reshape(-1)
            sample = flat[:: max(1, flat.numel() // _SAMPLED_VALUES)].float().cpu().numpy()
            digest.update(f"{name}{tuple(weight.shape)}{weight.dtype}".encode())
            digest.update(sample.tobytes())
    else:
        digest.update(str(model if isinstance(model, str) else "").encode())
    return digest.hexdigest()[:12]


def _tokenizer(tokenizer: Any) -> str:
    """The whole of a fast tokenizer: the same text must become the same ids."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return str(backend.to_str()) if backend is not None else str(type(tokenizer))


def _configuration(model: Any) -> str:
    """How the weights are read: positions, scales, sliding windows. Not where they lie."""
    values: dict[str, Any] = model.config.to_dict() if hasattr(model, "config") else {}
    kept = {k: v for k, v in values.items() if k[0] != "_" and k != "transformers_version"}
    return json.dumps(kept, sort_keys=True, default=str)
