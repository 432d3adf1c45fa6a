"""Batches made ahead: the same ones in the same order, errors in their place, threads that end."""

import threading
import time

import pytest

from ctta.online.prefetch import prefetched


def running():
    return [t for t in threading.enumerate() if t.name.startswith("ctta-prefetch")]


@pytest.mark.parametrize("n_ahead", [0, 1, 3, 50])
def test_the_items_come_in_their_order(n_ahead):
    assert list(prefetched(iter(range(20)), n_ahead)) == list(range(20))
    assert list(prefetched(iter([]), n_ahead)) == []
    assert not running()


def test_no_more_is_made_than_was_asked_for():
    made = []

    def items():
        for i in range(20):
            made.append(i)
            yield i

    ahead = prefetched(items(), 3)
    assert made == []
    next(ahead)
    until(lambda: len(made) == 4)
    time.sleep(0.02)
    assert made == [0, 1, 2, 3]
    next(ahead)
    until(lambda: len(made) == 5)
    ahead.close()
    assert not running()


def until(condition):
    """Wait for what another thread does."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_one_thread_makes_them_beside_the_one_that_uses_them():
    seen = list(prefetched((threading.get_ident() for _ in range(5)), 2))
    assert len(set(seen)) == 1
    assert seen[0] != threading.get_ident()


@pytest.mark.parametrize("n_ahead", [0, 2])
def test_an_error_comes_out_in_the_place_of_its_item(n_ahead):
    error = OSError("disk")

    def items():
        yield 1
        yield 2
        raise error

    ahead = prefetched(items(), n_ahead)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(OSError, match="disk") as caught:
        next(ahead)
    assert caught.value is error
    assert not running()


def test_an_interruption_of_the_user_ends_the_thread():
    def use():
        ahead = prefetched(iter(range(100)), 2)
        try:
            for item in ahead:
                if item == 3:
                    raise KeyboardInterrupt
        finally:
            ahead.close()

    with pytest.raises(KeyboardInterrupt):
        use()
    assert not running()
