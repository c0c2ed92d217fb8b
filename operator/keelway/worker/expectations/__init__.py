"""Whether data are what a team expects: counted, never sampled, and located without a value of the data.

checks = plan(expectations, table.columns)
results = …  # the aggregates of every check, from one pass over the table
violations = judge(checks, results, rows=…, baseline_rows=…, database=database, table=table)
"""

from keelway.worker.expectations.checks import Check
from keelway.worker.expectations.images import judge_images
from keelway.worker.expectations.judging import judge
from keelway.worker.expectations.planning import plan

__all__ = ["Check", "judge", "judge_images", "plan"]
