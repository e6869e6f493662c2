from __future__ import annotations

from typing import Any

from tests.deployment.real_server import Server


def test_one_student_gets_a_decision(server: Server, student: dict[str, Any]) -> None:
    answer = server.client.post("/predict", json=student)
    assert answer.status_code == 200
    body = answer.json()
    assert list(body) == ["predicted_purchase_probability", "predicted_purchase", "prediction_id", "run_id"]
    assert body["run_id"] == server.run_id
