"""Reads written training sets back with the trainers' own loaders, each in its own environment.

    python tests/trainers/run.py                  all that can be installed without a GPU
    python tests/trainers/run.py ms_swift verl    these
    python tests/trainers/run.py --keep FOLDER    environments stay there, and are used again

No environment holds us and one of these trainers: their pins exclude ours. Of each, the package
itself is installed without its dependencies, and of those what its loader imports. A training set
with weights, a system turn and an earlier answer is written for it; its loader must train on the
response alone (where the trainer can), whole, with its weight (where it has weights).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    # At the end of the path, so that the installed package is tested, not the checkout's.
    sys.path.append(str(Path(__file__).parents[2]))

from lnat_plugins.files import bundled_student
from lnat_plugins.scoring.chat import load_tokenizer
from lnat_plugins.scoring.rows import Renderer
from lnat_plugins.selection import Selection
from lnat_plugins.selection.training_set import write_training_set
from lnat_plugins.teacher_set import Candidate, Candidates, Response

COMMON = ("torch==2.13.0", "numpy", "pandas", "safetensors", "sentencepiece", "tiktoken", "einops")


class Trainer(NamedTuple):
    """A trainer's package, what its loader needs, and what it can do.

    weighs: it reads a row's weight. masks: it leaves earlier answers of a prompt alone.
    """

    package: str
    needs: tuple[str, ...]
    weighs: bool
    masks: bool


TRAINERS = {
    "ms_swift": Trainer(
        "ms-swift==4.6.0",
        ("transformers<5.20", "datasets>=4.0,<4.8.5", "trl>=0.15,<1.0", "peft<0.21", "modelscope",
         "json-repair", "accelerate", "dacite", "addict", "attrdict", "matplotlib", "simplejson"),
        weighs=True, masks=True,
    ),
    "llama_factory": Trainer(
        "llamafactory==0.9.5",
        ("transformers<=5.6.0", "datasets<=4.0.0", "accelerate<=1.11.0", "peft<=0.18.1",
         "trl<=0.24.0", "omegaconf", "modelscope", "tyro<0.9", "fire", "torchaudio"),
        weighs=True, masks=True,
    ),
    "verl": Trainer(
        "verl==0.9.1",
        ("transformers>=5.5.3,<5.11,!=5.6.0", "datasets", "accelerate", "peft", "hydra-core",
         "codetiming", "dill", "tensordict>=0.8,<=0.10,!=0.9.0", "torchdata", "ray>=2.41",
         "pillow"),
        weighs=False, masks=False,
    ),
    "axolotl": Trainer(
        "axolotl==0.19.0",
        ("transformers==5.16.1", "datasets==4.8.4", "accelerate==1.13.0", "peft==0.20.0",
         "trl==1.9.0", "pydantic==2.12.5", "addict", "fire", "colorama", "requests",
         "python-dotenv==1.0.1", "posthog==6.7.11", "numba", "PyYAML==6.0.3", "pillow"),
        weighs=False, masks=True,
    ),
}  # fmt: skip

ANSWERS = ("So 3 plus 4 is 7.\n\nThe answer is 7.", "<think>\nAdd 3.\n</think>\n\n7, I think.")
EARLIER = "It is 2, as before."
WEIGHTS = (0.25, 0.75)


def candidates() -> Candidates:
    """A row of each of two teachers, to prompts of several turns."""
    rows = []
    for i, (teacher, text) in enumerate(zip(("R1", "QwQ"), ANSWERS, strict=True)):
        turns = [
            {"role": "system", "content": "Think."}, {"role": "user", "content": "What is 1 + 1?"},
            {"role": "assistant", "content": EARLIER},
            {"role": "user", "content": f"And {i + 3} + 4?"},
        ]  # fmt: skip
        response = Response(teacher, text, correct=True, where=f"row {i}")
        rows.append(Candidate(i, f"p{i}", tuple(turns), response))
    return Candidates(tuple(rows), plain=False)


def write(folder: Path, name: str) -> None:
    """The training set in that format, chosen with weights."""
    pool = candidates()
    student = str(bundled_student())
    renderer = Renderer(load_tokenizer(student), plain=False)
    selection = Selection(
        indices=(0, 1), weights=WEIGHTS, scores=(-1.0, -2.0), reasons={}, teachers=("R1", "QwQ"),
        prompts=("p0", "p1"), strategy="weighted", pool=pool.fingerprint, student=student,
    )  # fmt: skip
    longest = max(renderer.row(row).n_tokens for row in pool.rows)
    write_training_set(folder, pool, selection, format=name, longest=longest)


def install(folder: Path, trainer: Trainer) -> Path:
    """The interpreter of an environment with the trainer; an environment that is there is used."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *COMMON, *trainer.needs], check=True)
        subprocess.run([*pip, "--no-deps", trainer.package], check=True)
    return python


def read_back(python: Path, name: str, folder: Path) -> dict[str, Any]:
    """What the trainer's own loader makes of the set; its last line."""
    script = Path(__file__).with_name(f"load_{name}.py")
    command = [str(python), str(script), str(folder / "chosen"), str(bundled_student())]
    quiet = {**os.environ, "DO_NOT_TRACK": "1", "AXOLOTL_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=quiet, check=False
    )
    if done.returncode:
        raise SystemExit(f"{name}: its loader failed\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def compare(name: str, trainer: Trainer, rows: list[dict[str, Any]]) -> None:
    """The response whole, with its weight, and nothing of the prompt that can be left alone."""
    assert len(rows) == len(ANSWERS), f"{name}: {rows}"
    for answer, weight in zip(ANSWERS, WEIGHTS, strict=True):
        (row,) = (row for row in rows if answer in row["text"])
        text = row["text"]
        assert "1 + 1" not in text and "Think." not in text, f"{name}: the prompt is in {text!r}"
        assert (EARLIER not in text) is trainer.masks, f"{name}: {text!r}"
        assert row["weight"] == (weight if trainer.weighs else None), f"{name}: {row}"


def main() -> None:
    """Every trainer in its turn; the first that differs ends it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("names", nargs="*", default=list(TRAINERS), metavar="NAME")
    parser.add_argument("--keep", type=Path, help="folder of the environments")
    options = parser.parse_args()
    for name in options.names:
        trainer = TRAINERS[name]
        with tempfile.TemporaryDirectory(prefix="lnat-trainers-") as temporary:
            folder = Path(temporary)
            kept = options.keep.resolve() if options.keep else folder
            write(folder / "chosen", name)
            python = install(kept / f"venv-{name}", trainer)
            found = read_back(python, name, folder)
        compare(name, trainer, found["rows"])
        weights = "and their weights" if trainer.weighs else "(no weights)"
        print(f"{name} {found['version']}: {len(found['rows'])} rows {weights} read back")


if __name__ == "__main__":
    main()
