"""Runs of token ids in, numbers of their tokens out. The only folder that runs a student.

It knows token ids and models, and neither text, steps, teachers nor metrics. Two passes give the
same numbers: the packed one (fast) and the batched one (exact for every causal model). The packed
one is taken where the model's configuration allows it and where both agree on a trial with the
first prompt. `engine.types` imports no torch, so metrics and plugins can name statistics.
"""
