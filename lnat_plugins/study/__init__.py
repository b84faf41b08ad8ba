"""Does a score pick the data that trains the better student? Trains students, and looks.

Runs (`spec`, `units`, `rows`, `utility`, `run`) and their statistics: students were trained on each
teacher's rows and on selections, and evaluated on test items (`Outcomes`); metrics scored the same
teachers' rows (`MetricScores`). One object of each is one student and one budget; `pool` and
`compare_students` take several. `results` brings both together.
"""

from __future__ import annotations

from lnat_plugins.ranking.random_order import RandomOrder, random_order
from lnat_plugins.study.ablation import Ablation, LeftOut, ablation
from lnat_plugins.study.agreement import BASELINE, Agreement, MetricAgreement, agreement
from lnat_plugins.study.arms import ArmFigure, ArmTable, arm_table
from lnat_plugins.study.gains import BEST_TEACHER, Gain, Gains, gains
from lnat_plugins.study.outcomes import Outcomes
from lnat_plugins.study.pool import Pooled, PooledGain, PooledMetric, pool
from lnat_plugins.study.reliability import Components, Reliability, reliability
from lnat_plugins.study.resample import Estimate
from lnat_plugins.study.scores import MetricScores
from lnat_plugins.study.students import Students, compare_students, may_be_best
from lnat_plugins.study.verdict import pooled_verdict, students_verdict, verdict

__all__ = [
    "BASELINE",
    "BEST_TEACHER",
    "Ablation",
    "Agreement",
    "ArmFigure",
    "ArmTable",
    "Components",
    "Estimate",
    "Gain",
    "Gains",
    "LeftOut",
    "MetricAgreement",
    "MetricScores",
    "Outcomes",
    "Pooled",
    "PooledGain",
    "PooledMetric",
    "RandomOrder",
    "Reliability",
    "Students",
    "ablation",
    "agreement",
    "arm_table",
    "compare_students",
    "gains",
    "may_be_best",
    "pool",
    "pooled_verdict",
    "random_order",
    "reliability",
    "students_verdict",
    "verdict",
]
