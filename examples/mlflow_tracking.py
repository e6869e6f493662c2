"""The champion on an MLflow server, and loaded from there; MLFLOW_TRACKING_URI names the server.

pip install 'tabloop[mlflow]'; export MLFLOW_TRACKING_URI=http://127.0.0.1:5000
"""

import mlflow
import polars as pl

import tabloop as tl

run = tl.Project("artifacts").champion
published = run.log_to_mlflow()
print("published:", published)

model = mlflow.pyfunc.load_model("models:/purchased@champion")
students = pl.read_csv("students.csv").drop("purchased").head(100)
there = model.predict(students.to_pandas())
here = tl.load("artifacts").decide(students.to_pandas())
print("the same answers:", there.equals(here))
