"""The world moves, the monitor tells, outcomes come in, and a challenger has to earn its place."""

import polars as pl

import tabloop as tl

project = tl.Project("artifacts")
today = pl.read_csv("students.csv").sample(2000, seed=7)
# somebody upstream counts minutes in another way since today
moved = today.with_columns(pl.col("minutes_watched") * 10)

with project.serve() as service:
    answers = service.predict(moved.drop("purchased"))

outcomes = answers.select("prediction_id", label=moved["purchased"])
print("outcomes taken:", project.feedback_import(outcomes).count.new)

report = project.monitor()
print("the documented rule asks for a retraining:", report.drift.rule.should_retrain)
print("windows in which a test alarmed:", len(report.drift.alarms))
print("what decides:", report.retraining.reason)

# without dry_run it trains, judges, and goes live if it may
plan = project.retrain(if_triggered=True, dry_run=True)
if plan.release is not None:
    for gate in plan.release.gates:
        print("passed " if gate.passed else "REFUSED", gate.name, "-", gate.reason)
