"""The contract, and the arithmetic on features and weights that can be followed by hand."""

import pytest
import torch
from ctta_t3a.method import T3A
from torch import nn

from ctta.models.source import ModelCard, SourceModel
from ctta.testing import check_method

SQUARE = 0.5**0.5


class Flat(SourceModel):
    """The features are the first three pixels."""

    def __init__(self, weight):
        super().__init__()
        self.head = nn.Linear(3, len(weight), bias=False)
        self.head.weight.data = torch.tensor(weight)
        self.stages = [["head"]]
        self.card = ModelCard("flat", (1, 1, 3), len(weight), "none")

    def features(self, x):
        return x.flatten(1)

    def features_and_logits(self, x):
        return self.features(x), self.head(self.features(x))


def image(*features):
    return torch.tensor(features).view(1, 1, 1, 3)


WEIGHT = [[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


@pytest.mark.parametrize(("variant", "max_supports"), [("paper", 1), ("official", 20)])
def test_the_contract_holds(variant, max_supports):
    check_method(lambda model: T3A(model, max_supports=max_supports, variant=variant))


def test_before_the_stream_the_centroids_are_the_unit_weights():
    method = T3A(Flat(WEIGHT), max_supports=5, variant="paper")
    answer = method.predict(image(3.0, 4.0, 0.0))
    torch.testing.assert_close(answer, torch.tensor([[3.0, 4.0]]))


@pytest.mark.parametrize("variant", ["paper", "official"])
def test_a_sample_joins_its_class_before_it_is_answered(variant):
    method = T3A(Flat(WEIGHT), max_supports=5, variant=variant)
    x = image(2.0, 0.0, 2.0)  # class 0; of unit length (SQUARE, 0, SQUARE)
    middle = torch.tensor([1 + SQUARE, 0.0, SQUARE]) / 2
    if variant == "official":
        middle = middle / middle.norm()
    torch.testing.assert_close(
        method(x), torch.stack([x.flatten() @ middle, torch.zeros(())])[None]
    )
    assert sorted(method.labels.tolist()) == [0, 0, 1]


def test_the_surest_stay_and_the_others_leave():
    method = T3A(Flat(WEIGHT), max_supports=1, variant="paper")
    before = method.centroids()
    method(image(0.1, 0.0, 0.9))  # less sure than the weight of class 0
    torch.testing.assert_close(method.centroids(), before)
    method(image(9.0, 0.0, 9.0))  # surer
    torch.testing.assert_close(method.centroids()[0], torch.tensor([SQUARE, 0.0, SQUARE]))
    torch.testing.assert_close(method.centroids()[1], before[1])


def test_without_a_bound_all_of_them_stay():
    method = T3A(Flat(WEIGHT), max_supports=None, variant="paper")
    for number in range(1, 5):
        method(image(1.0, 0.0, 1.0))
        assert len(method.rows) == len(WEIGHT) + number


def test_a_weight_that_the_classifier_gives_to_another_class_starts_there_officially():
    weight = [[2.0, 0.0, 0.0], [1.0, 0.1, 0.0]]  # the second is nearer to the first than to itself
    official, paper = (
        T3A(Flat(weight), max_supports=5, variant=v).labels.tolist() for v in ("official", "paper")
    )
    assert (official, paper) == ([0, 0], [0, 1])


def test_a_model_without_a_matrix_at_its_end_is_refused():
    model = Flat(WEIGHT)
    model.head = nn.Identity()
    with pytest.raises(ValueError, match="matrix of weights"):
        T3A(model, max_supports=5, variant="paper")
