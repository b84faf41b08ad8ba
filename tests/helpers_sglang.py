"""A stand-in for an SGLang server, over a transformers model, with SGLang's own rules.

It is written after SGLang 0.5.23: `entrypoints/http_server.py`, `managers/schedule_batch.py` and
`managers/scheduler_components/logprob_result_processor.py`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch


class FakeSglang:
    """Answers as an SGLang server of one process.

    Args:
        model: a transformers model.
        page: tokens that the prefix cache holds together; 0 = it has none.
        longest: a request must be shorter.
        older: whether the information has the names of servers before 2026.
        key: that it wants.

    Attributes:
        sent: the token ids of each request so far.
        cached: of each, how many came out of the prefix cache.
        garble: changes the answers before they are returned.
        padded: ids behind the last one that it reads as that.
    """

    def __init__(
        self, model: Any, *, page: int = 1, longest: int = 506, older: bool = False, key: str = ""
    ) -> None:
        self.model, self.page, self.longest, self.older, self.key = model, page, longest, older, key
        self.sent: list[list[int]] = []
        self.cached: list[int] = []
        self.garble: Callable[[Any], Any] = lambda answers: answers
        self.padded = 0
        self.information: dict[str, Any] = {
            "model_info": {"model_path": "a/student", "is_generation": True},
            "server_info": {
                "max_req_input_len": longest, "disable_radix_cache": page == 0,
                "page_size": page or 1,
            },
        }  # fmt: skip
        self._known: set[tuple[int, ...]] = set()

    def answer(self, method: str, path: str, key: str, body: Any) -> tuple[int, Any]:
        """Status and JSON of one HTTP request."""
        if key != (f"Bearer {self.key}" if self.key else ""):
            return 401, {"error": "Unauthorized"}
        names = {f"/{'get_' if self.older else ''}{name}": name for name in self.information}
        if method == "GET" and path in names:
            return 200, self.information[names[path]]
        if method != "POST" or path != "/generate":
            return 404, {"detail": "Not Found"}
        assert body["sampling_params"] == {"temperature": 0, "max_new_tokens": 1}
        assert body["return_logprob"] is True
        if too_long := [ids for ids in body["input_ids"] if len(ids) >= self.longest]:
            text = f"The input ({len(too_long[0])} tokens) is longer than the model's context"
            return 400, {"error": {"message": text}}
        wanted = zip(body["input_ids"], body["logprob_start_len"], strict=True)
        return 200, self.garble([self._one(ids, start) for ids, start in wanted])

    def _one(self, ids: list[int], start: int) -> dict[str, Any]:
        ends = range(self.page, min(len(ids) - 1, start) + 1, self.page) if self.page else range(0)
        cached = max((end for end in ends if tuple(ids[:end]) in self._known), default=0)
        self._known.update(tuple(ids[:end]) for end in range(1, len(ids) + 1))
        self.sent.append(ids)
        self.cached.append(cached)
        last = self.model.config.vocab_size - 1
        assert max(ids) <= last + self.padded
        known = [min(token, last) for token in ids]
        with torch.no_grad():
            logprobs = self.model(torch.tensor([known])).logits[0].float().log_softmax(-1)
        values = [float(row[token]) for row, token in zip(logprobs, known[1:], strict=False)]
        entries = [
            [None if i == start else values[i - 1], ids[i] if ids[i] < last else 0, None]
            for i in range(start, len(ids))
        ]
        meta = {"cached_tokens": cached, "input_token_logprobs": entries}
        return {"text": "", "output_ids": [1], "meta_info": meta}


@contextmanager
def serving(fake: FakeSglang) -> Iterator[str]:
    """The address at which it answers."""

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            key = self.headers.get("Authorization", "")
            status, found = fake.answer(self.command, self.path, key, body)
            text = found if isinstance(found, bytes) else json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = _reply

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
