"""What SAR and DeYO leave out of training, over real networks without weights."""

import pytest
import timm
import torch
import torchvision

from ctta.models.source import ModelCard, SourceModel
from ctta.models.stages import stages_of
from ctta.parts.batch_norm import norm_affine
from ctta.parts.late_layers import late_layers
from ctta.testing import tiny_cnn, tiny_vit


class Named(SourceModel):
    """Names and shapes of a network under ``module``, as `WrappedModel` has them."""

    def __init__(self, name):
        super().__init__()
        library, _, inner = name.rpartition("/")
        with torch.device("meta"):
            self.module = (
                timm.create_model(inner)
                if library == "timm"
                else torchvision.models.get_model(inner, weights=None)
            )
        head = [n for n, p in self.module.named_modules() if isinstance(p, torch.nn.Linear)][-1]
        self.stages = [[f"module.{part}" for part in s] for s in stages_of(self.module, head)]
        self.card = ModelCard(name, (3, 224, 224), 1000, "none")


def n_trained(model, variant):
    trained = norm_affine(model, leave_out=late_layers(model, variant))
    return sum(p.numel() for p in trained.values())


# All normalisation parameters, and the official ones of ResNet-50, were counted with the code of
# mariodoebler/test-time-adaptation at 8b2ed63. Blocks 9 to 11 of timm's ViT-B have 12 x 768,
# the norm behind them 2 x 768.
@pytest.mark.parametrize(
    ("name", "everything", "official", "paper"),
    [
        ("resnet50", 53_120, 30_592, 30_592),
        ("timm/vit_base_patch16_224", 38_400, 38_400 - 14 * 768, 38_400 - 14 * 768),
        ("vit_b_16", 38_400, 38_400, 38_400 - 14 * 768),
        ("swin_b", 57_600, 57_600, 57_600 - 2 * 4 * 1024 - 2 * 1024),
    ],
)
def test_how_much_is_trained(name, everything, official, paper, caplog):
    caplog.set_level("INFO", logger="ctta")
    model = Named(name)
    assert sum(p.numel() for p in norm_affine(model).values()) == everything
    assert not caplog.records
    assert n_trained(model, "official") == official
    assert (f"finds no layer in {name}" in caplog.text) == (official == everything)
    caplog.clear()
    assert n_trained(model, "paper") == paper
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("resnet18", {"module.layer4"}),
        ("resnet101", {"module.layer4"}),
        ("timm/vit_tiny_patch16_224", {"module.blocks.9", "module.blocks.11", "module.norm"}),
        ("timm/swin_base_patch4_window7_224", {"module.layers.2.blocks.10", "module.norm"}),
    ],
)
def test_official_names_are_substrings(name, left_out):
    found = late_layers(Named(name), "official")
    assert left_out <= found
    kept = {"module.layer3", "module.blocks.8", "module.patch_embed", "module.layers.3"}
    assert not found & kept


def test_the_last_stage_of_the_small_models():
    trained = norm_affine(tiny_vit(), leave_out=late_layers(tiny_vit(), "paper"))
    assert {name.rpartition(".")[0] for name in trained} == {"blocks.0.norm1", "blocks.0.norm2"}
    trained = norm_affine(tiny_cnn(), leave_out=late_layers(tiny_cnn(), "paper"))
    assert {name.rpartition(".")[0] for name in trained} == {"bn1", "bn2"}
    assert late_layers(tiny_cnn(), "official") == set()


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="variant: expected one of official, paper, got 'none'"):
        late_layers(tiny_cnn(), "none")
    everything = {name for name, _ in tiny_cnn().named_modules()}
    with pytest.raises(ValueError, match="has none before its last stage"):
        norm_affine(tiny_cnn(), leave_out=everything)
