"""Requests on every back end, from plugins, and shared by two ranks: the same numbers."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM, TemplateLM
from lm_eval.models.huggingface import HFLM

from lnat_plugins.errors import ConfigError, StudentError
from lnat_plugins.harness.requests import score_requests
from lnat_plugins.scoring.samples import read_scored_set
from tests.helpers_ranks import launch
from tests.helpers_students import assert_near, truth

from .lab import TEXTS, evaluate, figures, hf, load, records, rows, save, write_set


class Delegate(TemplateLM):
    """A back end that is not `hf` but calls it."""

    def __init__(self, inner: HFLM, max_length: int | None = None) -> None:
        super().__init__()
        self.inner = inner
        self.tokenizer = inner.tokenizer
        self.max_length = max_length or inner.max_length
        self.longest = 0

    @property
    def eot_token_id(self) -> int:
        return self.inner.eot_token_id

    def tok_encode(self, string: str, add_special_tokens: Any = None, **options: Any) -> list[int]:
        return self.inner.tok_encode(string, add_special_tokens=add_special_tokens, **options)

    def _loglikelihood_tokens(self, requests: Any, **options: Any) -> list[tuple[float, bool]]:
        self.longest = max(self.longest, *(len(seen) + len(new) for _, seen, new in requests))
        return self.inner._loglikelihood_tokens(requests, **options)

    def loglikelihood(self, requests: Any) -> Any:
        raise AssertionError("pairs of strings lose tokens")

    loglikelihood_rolling = generate_until = loglikelihood


class OwnCall(HFLM):
    """An `hf` that runs its model in a way of its own."""

    def _model_call(self, *args: Any, **kwargs: Any) -> Any:
        return super()._model_call(*args, **kwargs)


WINDOWS = {"windows": [0, 1, 4, "50%", "global"]}


@pytest.fixture(scope="module")
def responses() -> list[dict[str, Any]]:
    """With short responses, and one whose steps repeat each other."""
    found = rows(("QwQ", "R1", "s1"))
    found[2]["response"] = "Done. Wait."
    found[5]["response"] = "Wait. Wait. Wait. Done. Wait. Wait."
    found[8]["response"] = "Seven"
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, responses: Any) -> Path:
    folder = tmp_path_factory.mktemp("set")
    write_set(folder, responses, block=WINDOWS)
    return folder


@pytest.fixture(scope="module")
def by_engine(folder: Path, model: Any, tokenizer: Any) -> dict[str, Any]:
    return evaluate(folder, hf(model, tokenizer))


def assert_same_scores(by_engine: Any, other: Any) -> None:
    ours, theirs = records(by_engine), records(other)
    assert ours.keys() == theirs.keys()
    for key, record in theirs.items():
        assert record["path"] == "loglikelihood"
        assert record["sums"]["global"] is None
        assert record["undefined"] == {}
        assert (record["spans"], record["tokens"]) == (ours[key]["spans"], ours[key]["tokens"])
        assert record["settings_hash"] == ours[key]["settings_hash"]
        for window in ("0", "1", "4", "50%"):
            assert_near(record["sums"][window], ours[key]["sums"][window])
        assert_near(record["totals"]["global"], ours[key]["totals"]["global"])
    for name, value in figures(other).items():
        assert_near(value, figures(by_engine)[name])


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("kind", ["other", "own call"])
def test_another_back_end_gives_the_same_numbers(
    kind: str, batch_size: int, folder: Path, model: Any, tokenizer: Any, by_engine: Any
) -> None:
    cls = OwnCall if kind == "own call" else HFLM
    inner = hf(model, tokenizer, cls, batch_size=batch_size)
    lm = inner if kind == "own call" else Delegate(inner)
    assert_same_scores(by_engine, evaluate(folder, lm))


TAGGED = (
    "<think>\nFirst step. Second step. So 3 + 4 = 7.",
    "First step. Second step. Wait.\n</think>",
    "First step. The sum is <answer>7</answer>. So 3 + 4 = 7. Wait.",
    "<think>First step. Done it is.</think><answer>\n\nSo 3 + 4 = 7.</answer>\n",
    "think\nFirst step. Wait, is that so?\nanswer\nSo 3 + 4 = 7.",
    "First step. Wait.",
)
"""At the start, at the end, in the middle, several in a row, bare words, none."""


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagged")
    found = [row | {"response": text} for row, text in zip(rows(), TAGGED, strict=True)]
    write_set(folder, found, block=WINDOWS)
    return folder


@pytest.mark.parametrize("kind", ["other", "own call"])
def test_another_back_end_leaves_the_same_tags_out(
    kind: str, tagged: Path, model: Any, tokenizer: Any
) -> None:
    inner = hf(model, tokenizer, OwnCall if kind == "own call" else HFLM, batch_size=3)
    by_engine = evaluate(tagged, hf(model, tokenizer))
    other = evaluate(tagged, inner if kind == "own call" else Delegate(inner))
    assert_same_scores(by_engine, other)
    for record, (row, text) in zip(
        records(other).values(), zip(rows(), TAGGED, strict=True), strict=True
    ):
        prompt = tokenizer.encode(f"{row['prompt']}\n\n")
        expected = truth(model, tokenizer, prompt, text, ("4", "50%", "global"))
        assert [*record["tokens"]] == expected.tokens
        assert [*record["tag_tokens"]] == (expected.tag_tokens if text != TAGGED[-1] else [])
        for window in ("4", "50%"):
            assert_near(record["sums"][window], expected.sums[window])
        assert_near(record["totals"]["global"], sum(expected.sums["global"]))
        assert (record["tag_sums"], record["token_values"]) == ({}, None)


@pytest.mark.parametrize("kind", ["ours", "other"])
def test_a_response_of_tags_alone_is_undefined_on_every_back_end(
    kind: str, model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    found = [
        row | {"response": text}
        for row, text in zip(rows(prompts=1), ["Wait.", "</think>"], strict=True)
    ]
    write_set(tmp_path, found)
    lm = hf(model, tokenizer) if kind == "ours" else Delegate(hf(model, tokenizer))
    results = evaluate(tmp_path, lm)
    one, other = records(results).values()
    assert not one["undefined"]
    reason = "1 of 1 steps have no score; step 1: the response holds nothing but tags"
    assert {other["undefined"][window] for window in ("4", "global")} == {reason}
    assert (other["totals"]["4"], other["sums"]["global"]) == (None, [None])
    assert figures(results)["coverage/R1"] == 0
    stored = read_scored_set([save(results, tmp_path / "out")])
    assert stored.rows[1].record.undefined == other["undefined"]


@pytest.mark.parametrize("batch_size", [2, 64, "auto"])
def test_the_batch_size_is_only_a_hint(
    batch_size: Any, folder: Path, model: Any, tokenizer: Any, by_engine: Any
) -> None:
    lm = hf(model, tokenizer, batch_size=batch_size)
    found, expected = records(evaluate(folder, lm)), records(by_engine)
    for key, record in found.items():
        assert record["path"] == "packed"
        for window in ("4", "global"):
            assert_near(record["sums"][window], expected[key]["sums"][window])


def test_mixed_precision_is_left_to_the_harness(folder: Path, model: Any, tokenizer: Any) -> None:
    """Our engine runs the model as it is; only the harness wraps it in autocast."""
    lm = hf(model, tokenizer, mixed_precision_dtype="bfloat16")
    found = records(evaluate(folder, lm, limit=1))
    assert {record["path"] for record in found.values()} == {"loglikelihood"}


def test_no_request_is_longer_than_every_back_end_reads_uncut(
    folder: Path, model: Any, tokenizer: Any, by_engine: Any
) -> None:
    """vLLM reads max_length - 1 tokens and cuts a longer request on its left."""
    lengths = [sum(record["tokens"]) for record in records(by_engine).values()]
    prompt = len(tokenizer.encode("What is 0 + 4?\n\n"))
    limit = prompt + max(lengths)
    for max_length, undefined in [(limit + 1, 0), (limit, 1)]:
        lm = Delegate(hf(model, tokenizer), max_length)
        found = records(evaluate(folder, lm))
        cut = [key for key, record in found.items() if "global" in record["undefined"]]
        assert (len(cut) > 0) == bool(undefined)
        assert lm.longest <= max_length - 1


class NoTokens(LM):
    """A back end that answers with text only."""

    def loglikelihood(self, requests: Any) -> Any:
        raise AssertionError

    loglikelihood_rolling = generate_until = loglikelihood


def test_a_back_end_without_token_ids_is_refused(folder: Path) -> None:
    with pytest.raises(StudentError, match="no log-probabilities of token ids.*'NoTokens'.*vllm"):
        evaluate(folder, NoTokens())


def test_a_back_end_without_a_tokenizer_is_refused(
    folder: Path, model: Any, tokenizer: Any
) -> None:
    lm = Delegate(hf(model, tokenizer))
    lm.tokenizer = None
    with pytest.raises(StudentError, match="no log-probabilities of token ids.*'Delegate'"):
        evaluate(folder, lm)


def test_a_tokenizer_without_offsets_is_refused(folder: Path, model: Any, tokenizer: Any) -> None:
    class Slow:
        is_fast = False

    lm = Delegate(hf(model, tokenizer))
    lm.tokenizer = Slow()
    with pytest.raises(StudentError, match="no character offsets.*fast tokenizer"):
        evaluate(folder, lm)


PLUGIN = """\
from lnat_plugins import Loader, Splitter, hookimpl
from lnat_plugins.steps import tile

def split(text):
    return tile(text, [len(text) * i // {parts} for i in range(1, {parts})])

def read(path, shown):
    for line in path.read_text().splitlines():
        yield dict(zip(("prompt", "teacher", "response"), line.split("|")))

@hookimpl
def lnat_register(registry):
    registry.add_splitter(Splitter("parts", "1", split))
    registry.add_loader(Loader("bars", (), read))
"""
BLOCK = {"steps": "parts", "plugins": ["deep/parts.py"], "windows": [1]}


def write_plugin(folder: Path, parts: int) -> None:
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "parts.py").write_text(PLUGIN.format(parts=parts), encoding="utf-8")


def steps_by_text(found: dict[Any, Any], source: list[dict[str, Any]]) -> list[list[str]]:
    texts = {(row["prompt_id"], row["teacher"], 0): row["response"] for row in source}
    return [[texts[key][a:b] for a, b in record["spans"]] for key, record in found.items()]


def test_a_splitter_of_a_file_cuts_the_responses(
    tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    write_plugin(tmp_path, 2)
    ours = rows(prompts=2)
    write_set(tmp_path, ours, block=BLOCK)
    results = evaluate(tmp_path, hf(model, tokenizer))
    found = records(results)
    assert {record["splitter"] for record in found.values()} == {"parts@1"}
    assert {len(steps) for steps in steps_by_text(found, ours)} == {2}
    line = json.loads(save(results, tmp_path / "out").read_text().splitlines()[0])
    first = line["arguments"]["gen_args_0"]
    assert set(first) == {"arg_0", "arg_1"}
    assert set(first["arg_1"]) == {"teacher", "sample", "settings"}
    assert first["arg_1"]["settings"]["splitter"] == "parts@1"
    assert "plugins" not in line["arguments"]["gen_args_0"]["arg_1"]["settings"]


def test_without_its_plugin_the_splitter_is_unknown(tmp_path: Path) -> None:
    write_set(tmp_path, rows(), block={"steps": "parts"})
    with pytest.raises(ConfigError, match="naturalness: steps: unknown steps setting"):
        load(tmp_path)
    write_set(tmp_path, rows(), block=BLOCK)
    with pytest.raises(ConfigError, match=r"naturalness: plugins: the file cannot be read"):
        load(tmp_path)


def test_a_loader_of_a_file_reads_the_rows(tmp_path: Path) -> None:
    write_plugin(tmp_path, 2)
    text = "".join(f"What?|{teacher}|{TEXTS[1]!r}\n" for teacher in ("QwQ", "R1"))
    (tmp_path / "rows.txt").write_text(text)
    write_set(tmp_path, [], block={**BLOCK, "loader": "bars"}, dataset_path="rows.txt")
    assert load(tmp_path).teacher_set.n_responses == 2


def requests(task: Any) -> list[Instance]:
    doc = task.test_docs()[0]
    return list(task.construct_requests(doc, "What?\n\n", metadata=("t", 0, 1)))


def test_two_sets_may_name_different_splitters_alike(
    tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    """Same name, same version, same prompt: each response is cut by its own set's."""
    naturalness_requests = []
    for parts in (2, 3):
        folder = tmp_path / str(parts)
        write_plugin(folder, parts)
        write_set(folder, rows(prompts=1), block=BLOCK)
        naturalness_requests += requests(load(folder))
    replies = score_requests(hf(model, tokenizer), naturalness_requests)
    assert [reply.record.n_steps for reply in replies] == [2, 2, 3, 3]


def test_requests_of_lm_evals_own_kind_know_the_built_in_splitters(
    tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    write_set(tmp_path, rows(prompts=1), block={"steps": "line", "windows": [1], "tokens": False})
    ours = requests(load(tmp_path))
    plain = [
        Instance(**{f.name: getattr(one, f.name) for f in dataclasses.fields(Instance)})
        for one in ours
    ]
    lm = hf(model, tokenizer)
    assert [str(reply) for reply in score_requests(lm, plain)] == [
        str(reply) for reply in score_requests(lm, ours)
    ]


SETS: Mapping[str, list[dict[str, Any]]] = {
    "an even number of prompts": rows(prompts=4),
    "an odd number of prompts": rows(prompts=3),
    "a prompt with more responses": [
        *rows(prompts=3),
        *({**row, "sample": 1, "response": TEXTS[1]} for row in rows(prompts=1)),
    ],
    "one teacher on the first rank only": [
        *rows(prompts=3),
        {**rows(prompts=1)[0], "teacher": "s1"},
    ],
    "one teacher on the second rank only": [
        *rows(prompts=3),
        {**rows(prompts=2)[2], "teacher": "s1"},
    ],
    "metrics of every scope": rows(prompts=7),
    "a splitter that cannot be sent to the other rank": rows(prompts=5),
}
BLOCKS: Mapping[str, Mapping[str, Any]] = {
    "an odd number of prompts": {"sensitivity": "full"},
    "metrics of every scope": {"metrics": ["rsr", "lark", "aslec_casl", "scas", "ifd"]},
    "a splitter that cannot be sent to the other rank": {**BLOCK, "windows": [4, "global"]},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, repo: Path) -> dict[str, Path]:
    """The sets, each evaluated by two processes in one launch."""
    folders = {name: tmp_path_factory.mktemp("set") for name in SETS}
    for name, folder in folders.items():
        found = [{"sample": 0, **row} for row in SETS[name]]
        write_plugin(folder, 2)
        plugin = folder / "deep" / "parts.py"
        # A splitter made of a lambda cannot be pickled: each rank scores its own prompts.
        plugin.write_text(plugin.read_text().replace('"1", split', '"1", lambda text: split(text)'))
        write_set(folder, found, block=BLOCKS.get(name))
    first, *_ = folders.values()
    logs = launch("tests.harness.rank", [str(folder) for folder in folders.values()], first, repo)
    for rank, log in enumerate(logs):
        (first / f"log{rank}.txt").write_text(log)
    return folders


def test_the_tokens_of_all_processes_are_logged_once_a_set(
    folders: dict[str, Path], model: Any, tokenizer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def lines(log: str) -> list[str]:
        return re.findall("^(?:.*\r)?(Plan: .*)", log, re.MULTILINE)

    first, *_ = folders.values()
    together = [(first / f"log{rank}.txt").read_text() for rank in range(2)]
    with caplog.at_level(logging.INFO, "lm_eval"):
        for folder in folders.values():
            evaluate(folder, hf(model, tokenizer))
    alone = lines("\n".join(record.getMessage() for record in caplog.records))
    assert len(alone) == len(SETS)
    assert lines(together[0]) == alone
    assert lines(together[1]) == []


def test_two_processes_share_what_each_has_kept(folders: dict[str, Path]) -> None:
    first, *_ = folders.values()
    read = [json.loads((first / f"read{rank}.json").read_text()) for rank in range(2)]
    (once, again), (once_too, again_too) = (one["read"] for one in read)
    assert once + once_too == 4
    assert again == again_too == 0
    # Known to both before any prompt is taken.
    assert [one["left"] for one in read] == [[4, 0], [4, 0]]


@pytest.mark.parametrize("name", SETS)
def test_two_processes_give_the_figures_of_one(
    name: str, folders: dict[str, Path], model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    alone = evaluate(folders[name], hf(model, tokenizer))
    expected = figures(alone)
    together = json.loads((folders[name] / "figures.json").read_text())
    assert together.keys() == expected.keys()
    for figure, value in expected.items():
        if value == "N/A":
            assert together[figure] == value
        else:
            assert_near(together[figure], value)


@pytest.mark.parametrize("name", SETS)
def test_their_samples_file_holds_every_response_once(
    name: str, folders: dict[str, Path], model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    together = read_scored_set([folders[name] / "out"])
    alone = read_scored_set([save(evaluate(folders[name], hf(model, tokenizer)), tmp_path)])
    found = {(row.prompt_id, row.teacher, row.sample): row.record for row in together.rows}
    assert len(found) == len(together.rows) == len(SETS[name])
    for row in alone.rows:
        record = found[row.prompt_id, row.teacher, row.sample]
        assert_near(record.sums["4"], row.record.sums["4"])
        assert_near(record.totals["global"], row.record.totals["global"])
        assert record.variants.keys() == row.record.variants.keys()
        assert bool(record.variants) is (name == "an odd number of prompts")
        assert_near([*record.variants.values()], [*row.record.variants.values()])
        assert record.tag_tokens == row.record.tag_tokens
        assert record.token_values is not None and row.record.token_values is not None
        values, expected = record.token_values.arrays(), row.record.token_values.arrays()
        assert values.keys() == expected.keys()
        assert_near(values["logprob[4]"], expected["logprob[4]"])


def test_prompts_that_lm_eval_renders_alike_are_scored_apart(
    tmp_path: Path, model: Any, tokenizer: Any
) -> None:
    """They differ in earlier thinking, which the template reads only where the rows say so."""
    reader = copy.deepcopy(tokenizer)
    reader.chat_template = tokenizer.chat_template.replace(
        "{{ m['content'] }}", "{{ m['content'] }}{% if keep %}{{ m.reasoning_content }}{% endif %}"
    )
    found = []
    for thought in ("So.", "First step. Wait."):
        earlier = {"role": "assistant", "content": "Seven.", "reasoning_content": thought}
        asked = [{"role": "user", "content": "What?"}, earlier, {"role": "user", "content": "So?"}]
        found += [
            {
                "prompt_id": thought, "prompt": asked, "teacher": teacher, "response": "Seven.",
                "chat_template_kwargs": {"keep": True},
            }
            for teacher in ("QwQ", "R1")
        ]  # fmt: skip
    write_set(tmp_path, found)
    scored = records(evaluate(tmp_path, hf(model, reader), apply_chat_template=True))
    lengths = {prompt: record["prompt_tokens"] for (prompt, *_), record in scored.items()}
    assert lengths["So."] < lengths["First step. Wait."]


def test_no_memory_for_any_response_is_one_error(
    model: Any, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path, rows(prompts=1))
    lm = hf(model, tokenizer)
    calls, whole = 0, model.forward

    def forward(*arguments: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(*arguments, **more)

    monkeypatch.setattr(model, "forward", forward)
    with pytest.raises(StudentError, match="^the student ran out of memory on every response"):
        evaluate(tmp_path, lm)


def test_a_tokenizer_larger_than_the_student_ends_the_run_before_it_reads(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    write_set(tmp_path, rows(prompts=1))
    small = copy.deepcopy(model)
    small.resize_token_embeddings(20)
    read: list[int] = []
    small.register_forward_pre_hook(lambda *arguments, **more: read.append(1), with_kwargs=True)
    with pytest.raises(StudentError, match=r"gives token \d+, and the student's embedding has 20"):
        evaluate(tmp_path, hf(small, tokenizer))
    assert len(read) <= 1  # two tokens, by which the engine looks at the model
