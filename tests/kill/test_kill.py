"""kill -9 between the first checkpoint and the last batch: the run goes on to the same bits."""

import random

import kills
import pytest
from test_settings import NOT_HERE, SMALL, STREAMS

from ctta.results.store import RunStore

pytestmark = pytest.mark.slow
SETTINGS = [name for name in STREAMS if name not in {"continual", *NOT_HERE}]
CASES = [(name, "continual") for name in kills.METHODS] + [("cotta", name) for name in SETTINGS]


@pytest.mark.parametrize(("method", "stream"), CASES)
def test_a_killed_run_goes_on_to_the_same_bits(method, stream, tmp_path, digits_cache):
    chosen = [f"method={method}", f"stream={stream}", *kills.SHORT.get(method, []), *kills.FEW]
    case = kills.Killed([*chosen, *SMALL.get(stream, [])], tmp_path, digits_cache)
    chance = random.Random(f"{method} {stream}")
    for _ in range(5):
        case.kill(chance)  # asserts that 1 to N - 1 batches are run again, and the bits


def test_a_run_killed_while_it_saves_goes_on_from_the_save_before(tmp_path, digits_cache):
    """Saved after every batch, it is mostly saving."""
    chosen = ["method=cotta", "stream=continual", *kills.SHORT["cotta"], *kills.FEW]
    case = kills.Killed([*chosen, "online.checkpoint_every=1"], tmp_path, digits_cache)
    chance = random.Random(0)
    n_cut = 0
    for number in range(10):
        store = RunStore(tmp_path / str(number))
        after = 0.1 * chance.random()
        n_cut += kills.killed_while_it_saves(case.experiment, store, seconds=after)
        result = case.experiment.run(store)
        assert result.trace_sha256 == case.result.trace_sha256
        assert all(r.run_again in (0, 1) for r in result.resumes)
        assert not list(store.root.rglob(".*"))
    assert n_cut
