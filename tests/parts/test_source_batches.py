"""Source batches without end: passes, orders, copies."""

import copy

import pytest
import torch

from ctta.data.source import SourceData
from ctta.parts.source_batches import SourceBatches


def source(n=10):
    images = torch.arange(n, dtype=torch.float32).view(n, 1, 1, 1)
    return SourceData(images, torch.arange(n) % 3, identity="numbers")


def taken(batches, n):
    """The numbers of the next n batches; each image comes with its own label."""
    found = []
    for _ in range(n):
        images, labels = batches.take()
        numbers = images.flatten().long()
        assert torch.equal(labels, numbers % 3)
        found.append(numbers.tolist())
    return found


def joined(found):
    return [number for batch in found for number in batch]


def test_stored_order_with_a_short_last_batch():
    found = taken(SourceBatches(source(), 4, seed=None), 5)
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("size", [1, 5, 10])
def test_a_size_that_divides_gives_no_short_batch(size):
    found = taken(SourceBatches(source(), size, seed=None), 2 * 10 // size)
    assert {len(batch) for batch in found} == {size}
    assert joined(found) == [*range(10), *range(10)]


def test_more_than_there_is_gives_all_each_time():
    assert taken(SourceBatches(source(3), 100, seed=None), 2) == [[0, 1, 2]] * 2


def test_each_pass_has_an_order_of_its_own_and_holds_every_image():
    batches = SourceBatches(source(), 4, seed=5)
    passes = [joined(taken(batches, 3)) for _ in range(4)]
    assert all(sorted(numbers) == list(range(10)) for numbers in passes)
    assert len({tuple(numbers) for numbers in passes}) == 4
    assert joined(taken(SourceBatches(source(), 4, seed=5), 12)) == joined(passes)
    assert joined(taken(SourceBatches(source(), 4, seed=6), 3)) != passes[0]


@pytest.mark.parametrize("seed", [None, 5])
@pytest.mark.parametrize("n_before", [0, 2, 3, 7])
def test_a_saved_position_goes_on(seed, n_before):
    first, second = (SourceBatches(source(), 4, seed=seed) for _ in range(2))
    taken(first, n_before)
    second.load_state_dict(first.state_dict())
    assert taken(first, 6) == taken(second, 6)


def test_a_copy_stands_alone_and_shares_the_data():
    first = SourceBatches(source(), 4, seed=None)
    second = copy.deepcopy(first)
    assert second.source.images is first.source.images
    taken(first, 2)
    assert taken(second, 1) == [[0, 1, 2, 3]]


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    taken(SourceBatches(source(), 4, seed=0), 5)
    assert torch.equal(torch.get_rng_state(), before)
