"""Batches made ahead of their use, in a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def prefetched(items: Iterator[Item], n_ahead: int) -> Generator[Item]:
    """``items`` in their order, up to ``n_ahead`` of them made while one is in use.

    One thread makes them all, one after the other; an error comes out in the place of its item.
    Closing the iterator ends the thread with the item that it is at. 0: no thread.
    """
    if not n_ahead:
        yield from items
        return
    with ThreadPoolExecutor(1, thread_name_prefix="ctta-prefetch") as worker:
        try:
            waiting: deque[Future[Item]] = deque()
            for _ in range(n_ahead):
                waiting.append(worker.submit(next, items))
            while True:
                try:
                    item = waiting.popleft().result()
                except StopIteration:
                    return
                waiting.append(worker.submit(next, items))
                yield item
        finally:
            worker.shutdown(cancel_futures=True)
