"""From a frame to a champion that answers: run it in an empty folder."""

import tabloop as tl

students = tl.synthesize(3000, seed=1)
students.write_csv("students.csv")

# types, ranges, ids, columns that give the target away: all guessed, all told
config = tl.init(students, target="purchased")
print(*config.guesses[:3], sep="\n")
config["training.candidates"] = {"logistic_regression": {}, "decision_tree": {"max_depth": 5}}
config["business.target_precision"] = 0.7  # of those called buyers, at least so many shall buy
config["cv.n_splits"] = 3
config["benchmarking.in_run"] = "none"  # measure speed later, by `tabloop benchmark`

run = tl.run(students, config)
print(f"\nreleased: {run.released}, ROC-AUC on rows it never saw: {run.metrics.roc_auc:.3f}")
print(run.ranking)

model = tl.load("artifacts")
print(model.decide(students.head(3)))
