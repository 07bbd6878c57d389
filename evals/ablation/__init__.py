"""Ablations: the same training with one change per row (paper, Tables 4 and 5).

Each row is trained for the same number of steps, fine-tuned for and measured on the columns that are
asked for, and leaves a record in each of them that holds everything its numbers depend on. What has
a record is not done again, whether it lies in the runs folder or came with the package.
"""

from evals.ablation.columns import GridColumn, columns_named
from evals.ablation.plan import Planned, find_records, finished, jobs_of, make_plan
from evals.ablation.rows import AblationRow, make_rows
from evals.ablation.study import Study

__all__ = [
    "AblationRow",
    "GridColumn",
    "Planned",
    "Study",
    "columns_named",
    "find_records",
    "finished",
    "jobs_of",
    "make_plan",
    "make_rows",
]
