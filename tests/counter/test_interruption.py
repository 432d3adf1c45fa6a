"""Ctrl-C while the compiler is at work."""

import ctypes
import signal

import pytest

from ctta.counter.interruption import without_interruption


def pressed_in_a_callback():
    """Foreign code that calls back into Python, where the signal arrives; what came of it."""
    reached = []

    def callback():
        signal.raise_signal(signal.SIGINT)
        reached.append("end of the callback")

    ctypes.CFUNCTYPE(None)(callback)()
    reached.append("end of the work")
    return reached


@pytest.fixture(autouse=True)
def handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_python_drops_what_a_callback_raises():
    assert pressed_in_a_callback() == ["end of the work"]


def test_the_work_ends_and_then_it_counts():
    reached = []
    work = without_interruption(lambda: reached.extend(pressed_in_a_callback()))
    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == ["end of the callback", "end of the work"]


def test_without_a_signal_there_is_an_answer():
    assert without_interruption(lambda a, b: a + b)(1, 2) == 3


def test_an_error_of_the_work_is_told():
    def work():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        without_interruption(work)()


def test_the_compiler_is_covered():
    numba = pytest.importorskip("numba")
    from ctta.counter.compiled import for_cpu

    original = numba.core.dispatcher.Dispatcher.compile

    def compile_(self, signature):
        signal.raise_signal(signal.SIGINT)
        return original(self, signature)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numba.core.dispatcher.Dispatcher, "compile", compile_)
        add = for_cpu(_add)
        with pytest.raises(KeyboardInterrupt):
            add(1, 2)
    assert add(1, 2) == 3
    assert len(add.signatures) == 1


def _add(a, b):
    return a + b
