"""A table as people have it: what `init` makes of it, what you add, and which rows are refused."""

from pathlib import Path

import tabloop as tl

lines = ["id;spent;visits;joined;plan;cancelled"]
for i in range(400):
    spent = f"{i * 37 % 900},{i % 100:02}"  # 12,50 is 12.5
    plan = ("basic", "plus", "n/a")[i % 3]
    cancelled = "yes" if i * 37 % 900 < 250 + i % 7 * 40 else "no"
    lines.append(f"C-{i:05};{spent};{i % 12};{i % 28 + 1:02}.03.2025;{plan};{cancelled}")
Path("customers.csv").write_text("\n".join(lines) + "\n")

config = tl.init("customers.csv", target="cancelled", positive="yes")
for guess in config.guesses:
    print("-", guess)
print("left out:", config["data.ignore"])

# what you know and nobody can guess
config["contract.columns.visits.minimum"] = 0
config["contract.rules"] = ["visits <= 31"]
config["contract.features"] = {"spent_per_visit": "spent / max(visits, 1)"}
config.write("customers.yaml")

# two rows that break the contract: a negative number of visits, and an amount that is none
broken = [*lines[:20], "C-99998;12,00;-4;01.03.2025;basic;no", "C-99999;many;4;01.03.2025;basic;no"]
Path("broken.csv").write_text("\n".join(broken) + "\n")
check = config.data_check("broken.csv")
print(f"\n{check.refused_rows} of {check.rows_read} rows refused:", check.reasons)
