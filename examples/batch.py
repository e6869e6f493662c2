"""A whole file through the champion, streamed: columns stay, answers and reasons come beside them."""

import polars as pl

import tabloop as tl

project = tl.Project("artifacts")
report = project.score("students.csv", "scored.parquet", reasons=2)
print(f"{report.rows_scored:,} rows scored, {report.quarantine.rows:,} refused")

scored = pl.read_parquet("scored.parquet")
likely = scored.sort("predicted_purchased_probability", descending=True).head(5)
print(likely.select("predicted_purchased_probability", "predicted_purchased", "reason_1", "reason_2"))
