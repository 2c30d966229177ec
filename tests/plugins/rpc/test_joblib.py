"""The joblib backend: joblib's own calls, and a grid search of scikit-learn, on the nodes of a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.plugins.rpc.peers import peers

import guthi
from guthi_rpc import RPC, CodeRefused
from guthi_rpc.functions import Run
from guthi_rpc.shipping import capability

joblib = pytest.importorskip("joblib", reason="joblib is not installed: pip install -r requirements-dev.txt")
pytest.importorskip("guthi_rpc.joblib_backend")


@pytest.fixture(scope="module")
def node() -> Iterator[guthi.BlockingNode]:
    """A client in a network of two nodes that accept code."""
    with (
        peers("alice", "bob", threads=2, processes=1, ship_code=True) as (nodes, _),
        guthi.connect(join=[str(nodes["alice"].address)]) as client,
    ):
        client.require(RPC).available(capability(Run.THREAD), nodes=2, timeout=60)
        yield client


def squares(parallel: Any, count: int) -> list[int]:
    found: list[int] = parallel(joblib.delayed(pow)(number, 2) for number in range(count))
    return found


@pytest.mark.parametrize("run", ["thread", "process"])
def test_many_small_tasks(node: guthi.BlockingNode, run: str) -> None:
    with joblib.parallel_config("guthi", node=node, run=run):
        assert squares(joblib.Parallel(), 300) == [number**2 for number in range(300)]
        assert squares(joblib.Parallel(n_jobs=1), 3) == [0, 1, 4]


def test_all_workers_are_used(node: guthi.BlockingNode) -> None:
    with joblib.parallel_config("guthi", node=node, run="thread"):
        assert joblib.effective_n_jobs(-1) == 4
        assert joblib.effective_n_jobs(-2) == 3
        assert joblib.effective_n_jobs(7) == 7
    with joblib.parallel_config("guthi", node=node, run="thread", on="bob"):
        assert joblib.effective_n_jobs(-1) == 2


def test_a_failure_ends_the_call_and_the_backend_goes_on(node: guthi.BlockingNode) -> None:
    """In a new Parallel: one that has failed keeps the batches that were ready for its next call (joblib 1.6)."""
    with joblib.parallel_config("guthi", node=node, run="thread"):
        with pytest.raises(ZeroDivisionError):
            joblib.Parallel()(joblib.delayed(divmod)(1, number) for number in range(50))
        assert squares(joblib.Parallel(), 20) == [number**2 for number in range(20)]


def test_results_as_they_come(node: guthi.BlockingNode) -> None:
    with joblib.parallel_config("guthi", node=node, run="thread"):
        found = squares(joblib.Parallel(return_as="generator_unordered"), 40)
        assert sorted(found) == [number**2 for number in range(40)]


def test_a_grid_search(node: guthi.BlockingNode) -> None:
    reason = "scikit-learn is not installed: pip install -r requirements-dev.txt"
    datasets = pytest.importorskip("sklearn.datasets", reason=reason)
    from sklearn.model_selection import GridSearchCV
    from sklearn.svm import SVC

    samples, labels = datasets.load_iris(return_X_y=True)
    grid = {"C": [0.1, 1, 10], "kernel": ["linear", "rbf"]}
    here = GridSearchCV(SVC(), grid, cv=3).fit(samples, labels)
    with joblib.parallel_config("guthi", node=node, run="thread"):
        there = GridSearchCV(SVC(), grid, cv=3).fit(samples, labels)
    assert there.best_params_ == here.best_params_
    assert list(there.cv_results_["mean_test_score"]) == list(here.cv_results_["mean_test_score"])


def test_where_it_cannot_run() -> None:
    with pytest.raises(guthi.UsageError, match="say which network"):
        joblib.parallel_config("guthi")
    with (
        peers("alice") as (nodes, _),
        guthi.connect(join=[str(nodes["alice"].address)]) as client,
        joblib.parallel_config("guthi", node=client),
        pytest.raises(CodeRefused, match="ship_code"),
    ):
        squares(joblib.Parallel(), 3)
