"""The feature memory against plain tensors."""

import pytest
import torch
from torch.nn import functional as F

from ctta.parts import memory
from ctta.parts.memory import FeatureMemory


def rows(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, 6, generator=generator, dtype=torch.float64))


def test_rows_are_kept_in_order_over_many_growths():
    bank = FeatureMemory((rows(5), torch.arange(5)))
    added = rows(200, seed=1)
    for start in range(0, 200, 7):
        part = slice(start, start + 7)
        bank.add(added[part], torch.arange(200)[part])
    assert torch.equal(bank.rows(), torch.cat([rows(5), added]))
    assert bank.labels().tolist() == [*range(5), *range(200)]
    assert len(bank) == 205


def test_the_bound_drops_the_oldest_stream_rows_only():
    bank = FeatureMemory((rows(5), torch.full((5,), -1)), max_rows=10)
    for start in range(0, 44, 4):
        bank.add(rows(44, seed=1)[start : start + 4], torch.arange(start, start + 4))
    assert len(bank) == 15
    assert sorted(bank.labels().tolist()) == [-1] * 5 + [*range(34, 44)]
    bank.add(rows(30, seed=2), torch.arange(100, 130))
    assert sorted(bank.labels().tolist()) == [-1] * 5 + [*range(120, 130)]


def test_nearest_in_blocks_is_nearest_over_all(monkeypatch):
    monkeypatch.setattr(memory, "BLOCK", 8)
    bank = FeatureMemory((rows(50), torch.arange(50)))
    bank.add(rows(21, seed=1), torch.arange(50, 71))
    queries = rows(9, seed=2)
    similarity, labels = bank.nearest(queries, 12)
    whole = (queries @ bank.rows().T).topk(12)
    torch.testing.assert_close(similarity, whole.values)
    assert torch.equal(labels, whole.indices)
    assert bank.nearest(queries, 1000)[0].shape == (9, 71)


def test_the_state_goes_on_after_the_bound(monkeypatch):
    first = FeatureMemory((rows(5), torch.arange(5)), max_rows=10)
    first.add(rows(14, seed=1), torch.arange(14))
    first.add(rows(3, seed=2), torch.arange(3))
    second = FeatureMemory((rows(5), torch.arange(5)), max_rows=10)
    second.load_state_dict(first.state_dict())
    for bank in (first, second):
        bank.add(rows(4, seed=3), torch.arange(20, 24))
    assert torch.equal(first.rows(), second.rows())
    assert torch.equal(first.labels(), second.labels())


def test_rows_stay_where_they_are(monkeypatch):
    monkeypatch.setattr(memory, "BLOCK", 8)
    source = rows(20)
    bank = FeatureMemory((source, torch.arange(20)))
    bank.add(rows(3, seed=1), torch.arange(3))
    first = bank.added[0][0].data_ptr()
    for seed in range(10):
        bank.add(rows(9, seed=seed), torch.arange(9))
    assert bank.added[0][0].data_ptr() == first
    assert bank.source[0][0] is source
    assert all(len(labels) <= 8 for _, labels in bank.blocks())
    assert sum(len(own) for own, _ in bank.added) < bank.n_kept + 8


@pytest.mark.parametrize("max_rows", [None, 1, 7, 8, 19])
def test_any_sequence_of_batches_leaves_the_last_rows(monkeypatch, max_rows):
    monkeypatch.setattr(memory, "BLOCK", 8)
    bank = FeatureMemory(
        (rows(0), torch.arange(0)), (rows(2), torch.tensor([-1, -2])), max_rows=max_rows
    )
    sizes = torch.randint(0, 25, (30,), generator=torch.Generator().manual_seed(0)).tolist()
    seen = []
    for size in sizes:
        labels = torch.arange(len(seen), len(seen) + size)
        bank.add(labels[:, None].double().expand(-1, 6), labels)
        seen += labels.tolist()
        kept = seen if max_rows is None else seen[-max_rows:]
        assert sorted(bank.labels().tolist()) == sorted([-1, -2, *kept])
        assert torch.equal(bank.rows()[2:, 0], bank.labels()[2:].double())
        assert len(bank) == len(kept) + 2


def test_a_loaded_state_is_not_the_saved_one():
    first, second = (FeatureMemory((rows(5), torch.arange(5))) for _ in range(2))
    first.add(rows(4, seed=1), torch.arange(4))
    second.load_state_dict(first.state_dict())
    second.added[0][0].zero_()
    assert torch.equal(first.rows()[5:], rows(4, seed=1))
