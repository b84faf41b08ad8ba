"""A teacher set scored on a Ray cluster: an actor a GPU, resumed where it was stopped.

    pip install 'lnat-plugins[ray]'
    python examples/score_on_ray.py my_teachers.yaml out --student bundled
    python examples/score_on_ray.py my_teachers.yaml /shared/out --student Qwen/Qwen3-8B \\
        --model_args dtype=bfloat16 --actors 1 16 --address auto
    lnat rank out

Without `--address`, Ray is started on this machine. The same command again goes on where a run was
stopped, and asks the prompts again that failed.
"""

from __future__ import annotations

import argparse
import sys

from lnat_plugins import score_on_ray
from lnat_plugins.errors import LnatError


def main() -> int:
    parser = argparse.ArgumentParser(description="Score a teacher set on a Ray cluster.")
    parser.add_argument("teacher_set", help="its YAML, or a folder that write_prompts wrote")
    parser.add_argument("output_path", help="a folder that all nodes share")
    parser.add_argument("--student", required=True, help="a folder, a name on the Hub, or bundled")
    parser.add_argument("--model", default="hf", help="lm-eval's back end; default: %(default)s")
    parser.add_argument(
        "--model_args", nargs="*", default=[], metavar="NAME=VALUE", help="as lm-eval's"
    )
    parser.add_argument("--actors", type=int, nargs=2, metavar=("LEAST", "MOST"))
    parser.add_argument("--gpus", type=float, help="of each actor; default: 1 where there are any")
    parser.add_argument("--cpus", type=float, default=1, help="of each; default: %(default)s")
    parser.add_argument("--block", type=int, default=8, help="prompts a part; default: %(default)s")
    parser.add_argument("--address", help="of a cluster that is running, such as auto")
    args = parser.parse_args()

    if args.address:
        import ray

        ray.init(address=args.address)
    try:
        done = score_on_ray(
            args.teacher_set,
            args.output_path,
            student=args.student,
            model=args.model,
            model_args=dict(map(_pair, args.model_args)),
            actors=tuple(args.actors) if args.actors else None,
            gpus=args.gpus,
            cpus=args.cpus,
            block=args.block,
        )
    except LnatError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(done)
    return 0


def _pair(text: str) -> tuple[str, str | int | float | bool]:
    """`name=value`, its value as lm-eval reads it."""
    from lm_eval.utils import simple_parse_args_string

    ((name, value),) = simple_parse_args_string(text).items()
    return name, value


if __name__ == "__main__":
    raise SystemExit(main())
