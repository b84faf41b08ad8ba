"""Row weights from how far two students are apart on each response (Turning Dust into Gold).

Source: "Turning Dust into Gold: Distilling Complex Reasoning Capabilities from LLMs by Leveraging
Negative Data", arXiv 2312.12832 (negative calibrated enhancement), and its authors' code. p_pos and
p_neg are two students of one tokenizer, such as one base with an adapter trained on right responses
and one trained on wrong ones; y the n scored tokens of a response to the prompt x:

    β = tanh( 1/n · Σ_t KL( p_neg(· | x, y_<t) ‖ p_pos(· | x, y_<t) ) )        weight = ½ + β

It needs both students' whole distributions, which no samples file holds, so it is computed by a
command of its own. What is ours, and what the authors' code does otherwise, stands in
docs/metrics/contrast.md. Not known here: samples files, plugins, how rows are chosen.
"""

from __future__ import annotations

from lnat_plugins.nce.result import NceWeights
from lnat_plugins.nce.run import nce_weights

__all__ = ["NceWeights", "nce_weights"]
