from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tabloop.optimization.benchmark.plan import Cell, order_of_rounds, plan_calls, plan_cells
from tabloop.optimization.benchmark.run_benchmark import Variant


def test_quick_measures_the_winner_fully_and_the_others_little() -> None:
    winner, other = Variant("w", "sklearn", Path("w"), is_winner=True), Variant("o", "sklearn", Path("o"))
    sizes = (1, 16, 256, 4096)
    assert [c.batch_size for c in plan_cells([winner, other], sizes, 256, full=False)] == [*sizes, 1, 256]
    assert len(plan_cells([winner, other], sizes, 256, full=True)) == 8
    assert [c.batch_size for c in plan_cells([winner], (16,), 64, full=True)] == [16, 64]


@given(
    st.lists(st.floats(1e-5, 20.0), min_size=1, max_size=30),
    st.integers(3, 20),
    st.floats(1.0, 200.0),
)
def test_a_plan_keeps_to_its_time(costs: list[float], rounds: int, budget_s: float) -> None:
    by_cell = {Cell(i, 256 if i % 2 else 16): cost for i, cost in enumerate(costs)}
    plan = plan_calls(by_cell, rounds, 256, budget_s=budget_s)
    least_s = sum(plan[cell].rounds * by_cell[cell] for cell in plan)
    planned_s = sum(plan[cell].rounds * plan[cell].calls * by_cell[cell] for cell in plan)
    assert planned_s <= max(budget_s, least_s) * (1 + 1e-9)
    for cell, blocks in plan.items():
        assert 3 <= blocks.rounds <= rounds
        assert 1 <= blocks.calls <= 100
        assert blocks.limit_s > blocks.calls * by_cell[cell]
    for cell in by_cell.keys() - plan.keys():
        assert 3 * by_cell[cell] > 0.3 * budget_s


def test_the_order_follows_the_seed() -> None:
    cells = [Cell(i, size) for i in range(6) for size in (1, 16)]
    assert order_of_rounds(cells, 5, seed=1) == order_of_rounds(cells, 5, seed=1)
    assert order_of_rounds(cells, 5, seed=1) != order_of_rounds(cells, 5, seed=2)
