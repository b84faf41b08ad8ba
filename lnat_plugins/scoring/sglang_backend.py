"""Step sums by an SGLang server, over HTTP: `/generate` with token ids and `return_logprob`.

SGLang returns the log-probabilities of a request's tokens from `logprob_start_len` on, with null in
the first place, and takes no more than the tokens before that place out of its prefix cache. So a
request begins one token before the first that is scored, and a prompt is read once for all its
runs, but for its last token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import requests

from lnat_plugins.engine.types import Counts, Floats
from lnat_plugins.errors import StudentError
from lnat_plugins.scoring.served import Request, RequestBackend, RequestReader, same_numbers

SGLANG: Final = "sglang input log-probabilities"

_TOKENS_AT_ONCE: Final = 65_536
_ANY: Final = 2**31
_SECONDS: Final = 3_600.0
_LONGEST_TEXT: Final = 300


class SglangServer:
    """A student that an SGLang server holds, for `score` in the place of a model.

    Args:
        url: where the server is: "http://localhost:30000".
        api_key: that it was started with.
        timeout: seconds to wait for one answer, to some 65,000 tokens.

    Attributes:
        name: the path or name of the model that the server was started with.
        context: tokens before a response's last one that can be read.

    Raises:
        StudentError: there is no SGLang server, or one that does not generate.
    """

    def __init__(self, url: str, *, api_key: str | None = None, timeout: float = _SECONDS) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        model = self._get("model_info")
        if not model.get("is_generation", True):
            raise self._error("the server's model does not generate text", model.get("model_path"))
        self.name = str(model.get("model_path", self.url))
        info = self._get("server_info")
        limit = info.get("max_req_input_len")
        if type(limit) is not int or limit < 3:
            raise self._error("the server does not say how much it reads at most", limit)
        # A request must be shorter than that, and holds a response's last token too.
        self.context = limit - 2
        self.page = 0 if info.get("disable_radix_cache") else int(info.get("page_size") or 1)

    def backend(self) -> RequestBackend:
        """Raises: as `SglangReader`."""
        return RequestBackend(SglangReader(self))

    def generate(self, asked: Sequence[Request]) -> list[Mapping[str, Any]]:
        """The server's answers to requests, in order.

        Raises:
            StudentError: the server does not answer, or refuses.
        """
        body = {
            "input_ids": [one.ids for one in asked],
            "sampling_params": {"temperature": 0, "max_new_tokens": 1},
            "return_logprob": True,
            "logprob_start_len": [one.first - 1 for one in asked],
        }
        answers = self._json(self._ask("POST", "generate", json=body))
        right = isinstance(answers, list) and len(answers) == len(asked)
        if not right or not all(
            isinstance(one, dict) and isinstance(one.get("meta_info"), dict) for one in answers
        ):
            raise self._error("the server's answer is not one of /generate", answers)
        return list(answers)

    def _get(self, name: str) -> Mapping[str, Any]:
        answer = self._ask("GET", name)
        if answer.status_code == requests.codes.not_found:
            # Until 2026 the names began so.
            answer = self._ask("GET", f"get_{name}")
        found = self._json(answer)
        if not isinstance(found, dict):
            raise self._error(f"the server's answer is not one of /{name}", found)
        return found

    def _ask(self, method: str, name: str, **options: Any) -> requests.Response:
        try:
            return requests.request(
                method, f"{self.url}/{name}", headers=self._headers, timeout=self._timeout,
                **options,
            )  # fmt: skip
        except requests.RequestException as error:
            raise self._error("no server answers", f"{type(error).__name__}: {error}") from error

    def _json(self, answer: requests.Response) -> Any:
        if not answer.ok:
            raise self._error("the server refused", f"{answer.status_code} {answer.text}")
        try:
            return answer.json()
        except ValueError as error:
            raise self._error("the server's answer is not JSON", answer.text) from error

    def _error(self, what: str, found: Any) -> StudentError:
        return StudentError(
            what, where=self.url, found=str(found)[:_LONGEST_TEXT],
            remedy="give the address of a server that was started with `python -m "
            "sglang.launch_server --model-path STUDENT`, such as http://localhost:30000",
        )  # fmt: skip


class SglangReader(RequestReader):
    """The numbers of runs, each by a request to an SGLang server, in one call of `/generate`.

    Raises:
        StudentError: the server fails, or the same tokens have other numbers from another place on.
    """

    server = "SGLang"
    path = SGLANG
    at_once = _TOKENS_AT_ONCE

    def __init__(self, server: SglangServer) -> None:
        super().__init__()
        # The server does not say how many tokens it knows; see `_check_tokens`.
        self.vocabulary = _ANY
        self._highest = 0
        self._server = server
        self._page = server.page
        whole = self.trial()
        part = whole._replace(first=len(whole.ids) // 2)
        (known,), (found,) = self.read([whole]), self.read([part])
        # Without the cache and from it.
        (again,) = self.read([part])
        own = None if known is None else known[part.first - whole.first :]
        if not (same_numbers(found, own) and same_numbers(again, own)):
            raise StudentError(
                "SGLang gives the same tokens other log-probabilities from another place on",
                where=server.url, found=f"{own}, {found} and {again}",
                remedy="report its version to this project",
            )  # fmt: skip
        # The trial is not counted.
        self.counts, self.requests = Counts(), 0

    def cached(self, request: Request) -> int:
        """Whole pages before the token whose output is the first score."""
        cached = min(request.prompt, request.first - 1)
        return cached // self._page * self._page if self._page else 0

    def read(self, asked: Sequence[Request]) -> list[Floats | None]:
        """As `RequestReader.read`, in one call.

        Raises:
            StudentError: as `SglangServer.generate`; a token that the student does not have.
        """
        self._check_tokens(max(max(one.ids) for one in asked))
        answers = self._server.generate(asked)
        self.counts.forwards += 1
        values = []
        for one, answer in zip(asked, answers, strict=True):
            meta = answer["meta_info"]
            cached = meta.get("cached_tokens")
            self.count(one, cached if isinstance(cached, int) else 0)
            values.append(_values(one, meta.get("input_token_logprobs")))
        self.on_read()
        return values

    def _check_tokens(self, token: int) -> None:
        """Asks for the highest token so far, as the server takes a token that it does not have.

        It writes each of its tokens but the last as it is, and 0 for all above.
        """
        if token <= self._highest:
            return
        if token and self._is_replaced(token) and self._is_replaced(token - 1):
            raise StudentError(
                "the student has no such token", where=self._server.url, found=token,
                remedy="use the student's own tokenizer",
            )  # fmt: skip
        self._highest = token

    def _is_replaced(self, token: int) -> bool:
        (answer,) = self._server.generate([Request([0, token], 1, 1)])
        entries = answer["meta_info"].get("input_token_logprobs")
        right = isinstance(entries, list) and len(entries) == 2 and isinstance(entries[1], list)
        return token != 0 and right and entries[1][1:2] == [0]


def _values(request: Request, entries: Any) -> Floats | None:
    """Log-probabilities from the first scored token on, if the entries are those of the tokens.

    An entry is `[log-probability, token id, text]`, with 0 for the last token of the vocabulary.
    """
    if not isinstance(entries, list) or len(entries) != len(request.ids) - request.first + 1:
        return None
    values = []
    for entry, token in zip(entries[1:], request.ids[request.first :], strict=True):
        right = isinstance(entry, list) and len(entry) > 1 and isinstance(entry[0], float | int)
        if not right or entry[1] not in (token, 0):
            return None
        values.append(entry[0])
    return np.array(values, np.float64)
