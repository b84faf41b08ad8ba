"""Runs of token ids in, numbers of their tokens out. The only folder that runs a student.

It knows token ids and models, and neither text, steps, teachers nor metrics. Two paths give the
same numbers: the packed pass (fast) and the batched pass (exact for every causal model).
`engine.Engine` takes the packed pass where the model's configuration allows it and where it agrees
with the batched pass on a trial with the first prompt; `Engine.path` and `Engine.reason` report
the choice. `engine.types` imports no torch, so metrics and plugins can name statistics.
"""
