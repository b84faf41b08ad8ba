"""Ray Data: a teacher set scored on a cluster, by as many copies of the student as it has room for.

The only part of the package that imports ray. The driver writes the prompts as parquet; Ray reads
them, actors with a student each score them one by one, and Ray writes parts; from these the driver
makes the samples file that every reader here reads. How a prompt is scored is `harness.worker`'s
matter.
"""

from __future__ import annotations

from lnat_plugins.on_ray.prompt_files import write_prompts
from lnat_plugins.on_ray.run import ScoredOnRay, score_on_ray

__all__ = ["ScoredOnRay", "score_on_ray", "write_prompts"]
