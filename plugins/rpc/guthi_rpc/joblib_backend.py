"""Lets joblib, and so scikit-learn, run its tasks on the nodes of a network; importing it registers the backend.

    with joblib.parallel_backend("guthi", node=node):  # from guthi.connect
        GridSearchCV(model, grid).fit(samples, labels)

The nodes have to accept code (`ship_code`), and to have the libraries that the tasks need. Each task travels with its
data. joblib makes batches of tasks that are quicker than a fifth of a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from joblib.parallel import (  # type: ignore[import-untyped]
    AutoBatchingMixin,
    ParallelBackendBase,
    register_parallel_backend,
)

from guthi import BlockingNode, Node, UsageError
from guthi_rpc.executor import RpcExecutor
from guthi_rpc.functions import Run
from guthi_rpc.options import Where
from guthi_rpc.service import RPC

__all__ = ["GuthiBackend"]


class GuthiBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]  # joblib has no types
    """What `joblib.parallel_backend("guthi", node=…)` uses.

    `node` is a node, of this thread or of a loop in another; `run` is where the tasks run, in a "process" of the nodes
    or in a "thread", `on` is the only node to use. `n_jobs` below zero means all workers of all nodes.
    """

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(
        self,
        node: BlockingNode | Node | None = None,
        *,
        run: Run | str = Run.PROCESS,
        on: Where | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        if node is None:
            raise UsageError('say which network: joblib.parallel_backend("guthi", node=guthi.connect(join=[…]))')
        self._open: Callable[[], RpcExecutor] = lambda: node.require(RPC).executor(run=run, on=on)
        self._executor: RpcExecutor | None = None
        self._gate = threading.RLock()  # a callback makes joblib hand over more, on whatever call it then works

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many tasks joblib may hand over at a time; raises CodeRefused if no node accepts code."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(1, self._running().workers() + 1 + n_jobs)

    def submit(self, func: Callable[[], Any], callback: Callable[[Future[Any]], None] | None = None) -> Future[Any]:
        """Hand over one batch of tasks."""
        executor = self._running()
        future = executor.submit(func)

        def tell(done: Future[Any]) -> None:
            with self._gate:
                if callback is not None and executor is self._executor:
                    callback(done)

        future.add_done_callback(tell)
        return future

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The results of a batch; raises what a task raised."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """After a failure: what no node has begun is not wanted any more."""
        self.terminate()

    def terminate(self) -> None:
        """The end of a call of Parallel, or of a block of them."""
        with self._gate:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)
        self.reset_batch_stats()

    def _running(self) -> RpcExecutor:
        if self._executor is None:
            self._executor = self._open()
        return self._executor


register_parallel_backend("guthi", GuthiBackend)
