"""What each method does, beside the golden files."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ctta.assets import asset_dir
from ctta.build import build
from ctta.data.source import SourceData
from ctta.methods.cotta import CoTTA
from ctta.methods.eata import EATA
from ctta.methods.eta import ETA
from ctta.methods.frozen import Frozen
from ctta.methods.norm import Norm
from ctta.methods.rdumb import RDumb
from ctta.methods.tent import Tent
from ctta.models.source import WrappedModel
from ctta.parts.adapters import adapter_targets
from ctta.parts.batch_norm import batch_norms


def configured(model, method, *overrides):
    """The method as configured, over ``model``."""
    with initialize_config_dir(version_base="1.3", config_dir=str(asset_dir("configs"))):
        config = compose("config", overrides=[f"method={method}", *overrides])
    return build(OmegaConf.to_container(config.method, resolve=True), "method", model=model, seed=0)


def test_source_is_the_model_in_eval_mode(makers, model, batches):
    expected = model.eval()(batches[0])
    assert torch.equal(makers["source"](model)(batches[0]), expected)


def test_tent_lowers_the_entropy_and_trains_norms_only(makers, model, batches):
    method = makers["tent"](model, steps=20)
    losses = []
    method.observers.append(lambda name, value: losses.append(value.item()))
    method(batches[0])
    assert losses[-1] < losses[0]
    assert torch.equal(method.model.conv1.weight, model.conv1.weight)
    assert not torch.equal(method.model.bn1.weight, model.bn1.weight)


def test_tent_needs_a_norm_layer(model):
    model.bn1 = model.bn2 = model.bn3 = torch.nn.Identity()
    with pytest.raises(ValueError, match="this model has none"):
        Tent(model, optimizer={"name": "sgd", "lr": 0.1})


def test_mixed_share_of_zero_is_the_source(makers, model, batches):
    mixed = Norm(model, statistics="mixed", batch_share=0.0)
    assert torch.allclose(mixed(batches[0]), makers["source"](model)(batches[0]))


def test_batch_statistics_forget_the_past(makers, model, batches):
    method = makers["norm_batch"](model)
    first = method(batches[0])
    method(batches[1])
    assert torch.equal(method(batches[0]), first)
    assert torch.equal(method.predict(batches[0]), first)


@pytest.mark.parametrize(
    "change",
    [
        {"n_views": 0},
        {"ema_decay": 1.5},
        {"restore_prob": -0.1},
        {"unsure_below": "high"},
        {"symmetric_loss": 1},
        {"ema_decay": float("nan")},
    ],
)
def test_cotta_refuses_by_name(model, cotta_arguments, change):
    with pytest.raises(ValueError, match=next(iter(change))):
        CoTTA(model, **{**cotta_arguments, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"statistics": "none"},
        {"statistics": "mixed"},
        {"statistics": "batch", "bn_momentum": 2},
    ],
)
def test_norm_refuses(model, change):
    with pytest.raises(ValueError, match="expected"):
        Norm(model, **change)


@pytest.mark.parametrize(
    ("statistics", "extra", "remedy"),
    [
        ("mixed", {"bn_momentum": 0.1}, "bn_momentum=null"),
        ("mixed", {"reset_statistics": True}, "reset_statistics=false"),
        ("batch", {"batch_share": 0.1}, "batch_share=null"),
        ("updated", {"batch_share": 0.1}, "batch_share=null"),
    ],
)
def test_norm_refuses_what_its_statistics_do_not_use(model, statistics, extra, remedy):
    needed = {"batch_share": 0.1} if statistics == "mixed" else {"bn_momentum": 0.1}
    with pytest.raises(ValueError, match=rf"statistics={statistics} does not use it.*{remedy}"):
        Norm(model, statistics=statistics, **needed, **extra)


def test_norm_may_forget_the_sources_statistics(model, batches):
    for layer in batch_norms(model):
        layer.running_mean.fill_(0.5)
    method = Norm(model, statistics="updated", bn_momentum=0.0, reset_statistics=True)
    assert not torch.equal(method(batches[0]), model.eval()(batches[0]))
    for layer in batch_norms(model):
        layer.reset_running_stats()
    assert torch.equal(method(batches[0]), model(batches[0]))


def test_cotta_restores_everything_at_one(model, batches, cotta_arguments):
    method = CoTTA(model, **{**cotta_arguments, "restore_prob": 1.0})
    method(batches[0])
    for name, parameter in method.model.named_parameters():
        assert torch.equal(parameter, model.get_parameter(name))
    assert not torch.equal(method.teacher.conv1.weight, model.conv1.weight)


def test_cotta_seed_moves_the_draws(model, batches, cotta_arguments):
    def answer(seed):
        return CoTTA(model, seed=seed, **cotta_arguments)(batches[0])

    assert torch.equal(answer(1), answer(1))
    assert not torch.equal(answer(1), answer(2))


def test_frozen_stops_after_n_batches_and_reset_starts_anew(makers, model, batches):
    method = makers["frozen"](model)
    for x in batches[:2]:
        method(x)
    before = method.method.state_dict()
    method(batches[2])
    assert all(
        torch.equal(v, before[k]) if torch.is_tensor(v) else v == before[k]
        for k, v in method.method.state_dict().items()
    )
    method.reset()
    assert method.n_batches == 0
    with pytest.raises(ValueError, match="after: expected an integer of at least 0"):
        Frozen(method.method, after=-1)


def test_vida_says_where_no_adapter_fits(model):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10))
    bare = WrappedModel(network, name="bare", image_shape=(3, 8, 8))
    with pytest.raises(ValueError, match=r"bare calls no such layer.*timm's"):
        adapter_targets(bare)
    assert adapter_targets(model) == ["conv1", "conv2", "conv3"]


@pytest.mark.parametrize(
    ("name", "learn_from_all"),
    [
        ("sar", ["method.entropy_margin=2"]),
        ("deyo", ["method.entropy_margin=2", "method.min_prob_drop=-1"]),
    ],
)
def test_variant_paper_leaves_the_last_stage_as_it_is(name, learn_from_all, model, batches):
    for variant, moved in (("official", True), ("paper", False)):
        chosen = [f"method.variant={variant}", "optimizer.lr=0.1", *learn_from_all]
        method = configured(model, name, *chosen)
        method(batches[0])
        assert not torch.equal(method.model.bn2.weight, model.bn2.weight)
        assert torch.equal(method.model.bn3.weight, model.bn3.weight) != moved


def test_rmt_without_a_projector_contrasts_the_features_themselves(model, batches):
    method = configured(model, "rmt", "tuned=domainnet126/rmt", "method.warmup_steps=1")
    assert method.arguments["projection_dim"] is None
    images = batches.flatten(0, 1)
    method.prepare(SourceData(images, torch.arange(len(images)) % 10, identity="noise"))
    first = method(batches[0])
    method.reset()
    method.load_state_dict(method.state_dict())
    assert torch.equal(method(batches[0]), first)
    x = method.prototypes[:, None]
    assert torch.equal(method.projector(x), x)


RDUMB = {
    "optimizer": {"name": "sgd", "lr": 0.1},
    "entropy_margin": 2.0,
    "redundancy_margin": 2.0,
    "prob_ema_decay": 0.9,
}


def is_source(method, model):
    return torch.equal(method.model.bn1.weight, model.bn1.weight)


@pytest.mark.parametrize("reset", ["official", "full"])
def test_rdumb_keeps_its_beat_through_resets_from_outside(model, batches, reset):
    method = RDumb(model, reset_every=3, reset=reset, **RDUMB)
    seen = []
    for number in range(6):
        if number == 2:
            method.reset()
        method(batches[number % 4])
        seen.append(is_source(method, model))
    assert seen == [False, False, True, False, False, True]
    assert method.n_updates == 6


def test_rdumb_goes_on_counting_after_a_resume(model, batches):
    method, other = (RDumb(model, reset_every=3, **RDUMB) for _ in range(2))
    for x in batches[:2]:
        method(x)
    other.load_state_dict(method.state_dict())
    other(batches[2])
    assert is_source(other, model)


def test_eta_hands_out_which_samples_it_found_reliable_and_used(model, batches):
    method, seen = ETA(model, **{**RDUMB, "redundancy_margin": 0.99}), {}
    method.observers.append(lambda name, value: seen.setdefault(name, []).append(value))
    for x in batches:
        method(x)
    assert all(mask.all() for mask in seen["reliable"])
    assert seen["used"][0].all()
    assert not torch.stack(seen["used"]).all()
    assert not any(name.startswith("num_") for name in vars(method))


def test_eata_without_a_weight_is_eta_and_needs_no_source(model, batches):
    method, eta = EATA(model, fisher_weight=0.0, **RDUMB), ETA(model, **RDUMB)
    assert not method.uses_source_data
    method.prepare(SourceData(batches[0], torch.arange(6), identity="noise"))
    for x in batches:
        assert torch.equal(method(x), eta(x))


@pytest.mark.parametrize(
    ("name", "override", "words"),
    [
        ("cmf", "method.process_noise=1e20", r"process_noise: expected below \S+ for 36 trained"),
        ("sar", "optimizer.name=sgd", r"optimizer\.name: SAR takes sam_sgd, got 'sgd'"),
    ],
)
def test_values_that_a_method_cannot_take_are_named(model, name, override, words):
    with pytest.raises(ValueError, match=words):
        configured(model, name, override)


def test_deyo_may_cover_a_square(model, batches):
    chosen = ["destroy=occlusion", "occlusion_size=4", "occlusion_row=2", "occlusion_column=1"]
    method = configured(model, "deyo", *(f"method.{value}" for value in chosen))
    changed = (method.augment(batches[0]) != batches[0]).any(1).any(0)
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[2:6, 1:5] = True
    assert torch.equal(changed, inside)


def test_deyo_weighs_by_entropy_by_drop_by_both_or_not_at_all(model):
    entropies, drop = torch.tensor([0.1, 2.0]), torch.tensor([0.5, -0.2])
    by_entropy, by_drop = 0.4 * torch.tensor(10.0).log() - entropies, drop
    expected = {
        (True, True): by_entropy.exp() + by_drop.exp(),
        (True, False): by_entropy.exp(),
        (False, True): by_drop.exp(),
        (False, False): torch.ones(2),
    }
    method = configured(model, "deyo", "method.weight_margin=0.4")
    for (method.weight_by_entropy, method.weight_by_drop), weights in expected.items():
        torch.testing.assert_close(method.weights(entropies, drop, 10), weights)
