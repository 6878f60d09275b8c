"""Work that is spread over processes, each of which may have an engine of its own."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import TypeVar

from gcd_hpc.errors import LaunchError

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def spread(
    items: Iterable[Item], function: Callable[[Item], Outcome], workers: int, what: str
) -> Iterator[tuple[Item, Outcome]]:
    """Each item with what a function of a module makes of it, as they finish.

    Items are taken from the iterable when a process is free for them, so that a generator can end
    the work.

    Args:
        workers: number of processes, started by ``spawn``; one is this process.
        what: each process did, for the error, such as "measured a phase of runs/a".

    Raises:
        LaunchError: if a process is killed.
    """
    if workers <= 1:
        for item in items:
            yield item, function(item)
        return
    left = iter(items)
    pool = ProcessPoolExecutor(workers, get_context("spawn"), leave_with_parent)
    try:
        waiting: dict[Future[Outcome], Item] = {}
        for item in islice(left, workers):
            waiting[pool.submit(function, item)] = item
        while waiting:
            for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(done), done.result()
                for item in islice(left, 1):
                    waiting[pool.submit(function, item)] = item
    except BrokenProcessPool as error:
        raise LaunchError(
            f"a process that {what} was killed, perhaps for lack of memory; run the same command"
            " again with fewer workers: what is finished is kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def leave_with_parent() -> None:
    """Let a thread end this process, started by ``multiprocessing``, when its parent has ended.

    Otherwise it would finish its item first, and so would the engine that it has started.
    """

    def wait() -> None:
        parent = parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
