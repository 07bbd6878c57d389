"""Ablations: the same training with one change per row (paper, Tables 4 and 5).

Each row is trained for the same number of steps, evaluated zero-shot on Flickr30k retrieval, and
leaves a record that holds everything its weights depend on. A row whose record is there is not
trained again, whether it lies in the runs folder or came with the package.
"""

from evals.ablation.plan import Planned, Study, finished, make_plan
from evals.ablation.rows import AblationRow, make_rows

__all__ = ["Planned", "AblationRow", "Study", "finished", "make_plan", "make_rows"]
