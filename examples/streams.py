"""Events in, decisions out, without a broker: `tabloop stream` reads lines and writes lines."""

import json
import subprocess
import sys

import polars as pl

students = pl.read_csv("students.csv").drop("purchased").head(20)
events = [{"event_id": f"visit-{i}", "record": record} for i, record in enumerate(students.to_dicts())]
events.append(events[0])  # the producer sends it again: it is decided once
events.append({"event_id": "visit-bad", "record": {"minutes_watched": -1}})

done = subprocess.run(
    [sys.executable, "-m", "tabloop", "stream", "--config", "artifacts/config.yaml",
     "--set", "stream.max_invalid_fraction=0.5"],
    input="".join(json.dumps(event) + "\n" for event in events),
    capture_output=True, text=True, check=True,
)  # fmt: skip
decisions = [json.loads(line) for line in done.stdout.splitlines()]
print(f"{len(events)} events, {len(decisions)} decisions")
print(decisions[0])
