"""What each column contributed to an answer; base and contributions add up to it."""

import polars as pl

import tabloop as tl

students = pl.read_csv("students.csv").head(5)
model = tl.load("artifacts")
explained = model.explain(students)
print(explained)

base = next(name for name in explained.columns if name.startswith("base_"))
columns = [name for name in students.columns if name in explained.columns]
whole = explained.select(pl.sum_horizontal(base, *columns)).to_series()
print(f"in {base.removeprefix('base_')}:", whole.round(4).to_list())

first = {name: explained[name][0] for name in columns}
most = max(first, key=lambda name: abs(first[name]))
print(f"the first row owes most to {most}: {first[most]:+.3f}")
