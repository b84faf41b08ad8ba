"""GRACE and its family: teachers by the student's gradients on their responses.

Source: "In Good GRACEs: Principled Teacher Selection for Knowledge Distillation", arXiv 2511.02833
(sections 2.1 and 2.2), and its authors' code. For a prompt x and a response y, g(x, y) is the
gradient of the mean NLL of the response's tokens by the student's parameters, Π a fixed random
map to d dimensions, D one teacher's responses, and

    h = log |y| · Π g                              Σ(D) = mean over D of h hᵀ
    Σ̃(D) = mean over D of h hᵀ / ‖h‖²              Σ̂(D) = Σ̃(D) + ν/d · I
    GRACE(D) = 1/C · Σ_i tr(Σ̂(D without D_i)⁻¹ Σ(D_i))     D_1 … D_C a partition of the prompts
    G-Norm(D) = tr Σ(D)                            G-Vendi(D) = entropy of the eigenvalues of Σ̃(D)

A teacher has one figure, a response has none: it is no `Metric`. It needs a backward pass for each
response, so it is computed by a command of its own and never with the other scores.

What is ours, and what the authors' code does otherwise, stands in docs/metrics/grace.md. Not known
here: samples files, plugins, how a ranking's verdict is worded.
"""

from __future__ import annotations

from lnat_plugins.gradients.result import GradientScores, TeacherGradients
from lnat_plugins.gradients.run import gradient_scores

__all__ = ["GradientScores", "TeacherGradients", "gradient_scores"]
