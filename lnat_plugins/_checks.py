"""Type and name checks on the values of a teacher set's YAML, each with its error.

Knows nothing of what a value is used for. Every check returns the value in the form
that `config` keeps, or raises a ConfigError with the YAML, the key, the finding and
the remedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lnat_plugins.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Checks:
    """Checks on one YAML; `source` names it in every error."""

    source: str

    def _refuse(self, key: str, what: str, found: object, remedy: str = "") -> ConfigError:
        return ConfigError(what, where=f"{self.source}: {key}", found=found, remedy=remedy)

    def known(self, given: Mapping[str, Any], names: Iterable[str], kind: str) -> None:
        legal = tuple(names)
        for key in given:
            if key not in legal:
                raise ConfigError(
                    f"unknown {kind}",
                    where=self.source,
                    found=key,
                    remedy=did_you_mean(str(key), legal),
                )

    def idle(self, given: Mapping[str, Any], idle: Iterable[str]) -> None:
        """Refuse keys of lm-eval's that would change nothing here: a score must not pretend."""
        for key in idle:
            if given.get(key):
                raise ConfigError(
                    f"`{key}` has no effect on a naturalness task",
                    where=self.source,
                    found=given[key],
                    remedy="remove it; prompts and responses are taken as the data has them",
                )

    def mapping(self, value: Any, key: str) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise self._refuse(key, "this must be a mapping of names to values", value)
        return value

    def text(self, value: Any, key: str, remedy: str = "") -> str:
        if not isinstance(value, str) or not value.strip():
            raise self._refuse(key, "this must be text", value, remedy or "put it in quotes")
        return value

    def choice(self, value: Any, key: str, names: tuple[str, ...]) -> str:
        if value not in names:
            raise self._refuse(key, "no such choice", value, did_you_mean(str(value), names))
        return str(value)

    def flag(self, value: Any, key: str) -> bool:
        if not isinstance(value, bool):
            raise self._refuse(key, "this must be true or false", value)
        return value

    def count(self, value: Any, key: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._refuse(key, "this must be a whole number, 1 or more", value)
        return value

    def names(
        self, value: Any, key: str, remedy: str = "write [QwQ, R1]"
    ) -> tuple[str, ...] | None:
        if value is None:
            return None
        if not isinstance(value, list | tuple) or not value:
            raise self._refuse(key, "this must be a list of names", value, remedy)
        found = tuple(self.text(name, key) for name in value)
        if len(set(found)) < len(found):
            raise self._refuse(key, "a name is listed twice", list(found))
        return found

    def windows(self, value: Any) -> tuple[str, ...]:
        """Windows as strings ("4", "10%", "global"); their grammar is `windows`' affair."""
        key = "naturalness: windows"
        listed = value if isinstance(value, list | tuple) else [value]
        if not listed:
            raise self._refuse(key, "no window is given", value, 'write [4, "10%", global]')
        for window in listed:
            if isinstance(window, bool) or not isinstance(window, int | str):
                raise self._refuse(
                    key, "not a window", window, 'a window is 4, "10%" (in quotes) or global'
                )
        found = tuple(str(window).strip() for window in listed)
        if len(set(found)) < len(found):
            raise self._refuse(key, "a window is listed twice", list(found))
        return found

    def dataset_path(self, value: Any) -> Any:
        """str | tuple[str, ...] | {teacher: tuple[str, ...]}; never empty."""
        key = "dataset_path"
        remedy = "give a file, a folder, a pattern, a list, a mapping teacher: file, or a hub id"
        if isinstance(value, str) and value.strip():
            return value
        if isinstance(value, list | tuple) and value:
            return tuple(self.text(item, key, remedy) for item in value)
        if isinstance(value, Mapping) and value:
            found = {}
            for teacher, paths in value.items():
                name = self.text(teacher, key, "put the teacher's name in quotes")
                listed = paths if isinstance(paths, list | tuple) and paths else [paths]
                found[name] = tuple(self.text(path, f"{key}: {name}", remedy) for path in listed)
            return found
        raise self._refuse(key, "no data is named", value, remedy)

    def data_files(self, value: Any, split: str) -> Any:
        """lm-eval's other idiom: `dataset_path: json` with the files in `dataset_kwargs`."""
        if isinstance(value, Mapping):
            if split not in value:
                raise self._refuse(
                    "dataset_kwargs: data_files",
                    "no files for the split",
                    split,
                    did_you_mean(split, [str(name) for name in value]),
                )
            value = value[split]
        return self.dataset_path(value)

    def columns(self, value: Any, layout: str, names: tuple[str, ...]) -> Mapping[str, Any]:
        """Column names by field, None for a field that no column is to give.

        In the wide layout some fields name one column a teacher.
        """
        key = "naturalness: columns"
        given = self.mapping(value, key)
        self.known(given, names, f"key in `naturalness: columns` for the {layout} layout")
        found: dict[str, Any] = {}
        for name, column in given.items():
            if column is None and name in ("prompt_id", "sample", "correct", "steps"):
                found[name] = None
            elif layout == "wide" and name in ("responses", "correct", "steps"):
                found[name] = self._by_teacher(column, f"{key}: {name}")
            else:
                found[name] = self.text(column, f"{key}: {name}", "give the name of one column")
        if layout == "wide" and "responses" not in found:
            raise self._refuse(
                key,
                "the wide layout needs `responses`",
                sorted(found),
                "write `responses: {QwQ: qwq_output, R1: r1_output}`, or a list of columns",
            )

        for field in set(found) & {"correct", "steps"} if layout == "wide" else ():
            self.known(found[field] or {}, found["responses"], f"teacher in `columns: {field}`")
        return found

    def one_naming_of_teachers(self, ways: Mapping[str, bool]) -> None:
        used = [way for way, chosen in ways.items() if chosen]
        if len(used) > 1:
            raise ConfigError(
                "the teachers are named in two ways",
                where=self.source,
                found=", ".join(used),
                remedy="keep one of them",
            )

    def _by_teacher(self, value: Any, key: str) -> dict[str, str]:
        """{teacher: column}; a list of columns names teachers after their columns."""
        if isinstance(value, list | tuple) and value:
            return {self.text(column, key): column for column in value}
        if isinstance(value, Mapping) and value:
            return {self.text(t, key): self.text(column, key) for t, column in value.items()}
        raise self._refuse(
            key, "this must map teachers to columns", value, "write {QwQ: qwq_output, R1: r1}"
        )

    def think_template(self, value: Any) -> str:
        key = "naturalness: think_template"
        text = self.text(value, key)
        if text.count("{think}") != 1 or text.count("{answer}") != 1:
            raise self._refuse(key, "{think} and {answer} must each appear once", text)
        return text
