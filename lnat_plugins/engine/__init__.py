"""Runs of token ids in, the numbers of their tokens out. The only folder that runs a student.

Knows nothing of text, steps, teachers or metrics. Two paths give the same numbers: the
packed pass (fast) and the batched pass (exact for every causal model). The packed pass is
taken where the model's configuration allows it and where it agrees with the batched pass
on a trial taken from the first prompt; `Engine.path` and `Engine.reason` say which it is
and why. See arXiv 2510.03988 for what is computed from the result.
"""
