"""Where source models come from: trained here and cached, from a hub, or from the user."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ctta.data.digits import DigitsC
from ctta.locks import making
from ctta.models.checkpoint import load_weights, read_weights
from ctta.models.digits import TinyCNN
from ctta.models.source import ModelCard, SourceModel, WrappedModel, weights_hash
from ctta.models.training import RECIPE_VERSION, Report, train
from ctta.places import cache_dir, saving, writable

log = logging.getLogger("ctta")


def tiny_vit() -> SourceModel:
    """The transformer for the digits."""
    from ctta.models.digits_vit import TinyViT

    return TinyViT(img_size=32, patch_size=8, num_classes=10, embed_dim=64, depth=3, num_heads=4)


ARCHITECTURES: dict[str, tuple[Callable[[], SourceModel], dict[str, float]]] = {
    "cnn": (
        lambda: TinyCNN(channels=(24, 48, 64), strides=(2, 2, 1)),
        {"epochs": 20, "lr": 0.01, "weight_decay": 1e-4},
    ),
    "vit": (
        tiny_vit,
        {"epochs": 60, "lr": 0.002, "weight_decay": 0.05},
    ),
}


def digits_model(
    *,
    architecture: Literal["cnn", "vit"] = "cnn",
    data: DigitsC | None = None,
    cache: Path | None = None,
    report: Report | None = None,
) -> SourceModel:
    """The digits classifier, trained at the first use and cached by content.

    Args:
        architecture: ``cnn`` (batch norm) or ``vit`` (layer norm).
        data: whose training split is used; None: ``digits_c``.
        cache: folder; None: ``CTTA_CACHE``, else ``~/.cache/ctta``.
        report: called after each epoch of a training.

    Raises:
        ValueError: an unknown architecture, or a cache that cannot be written.
    """
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"architecture: expected one of {', '.join(ARCHITECTURES)}, got {architecture!r}"
        )
    source = (data or DigitsC()).source()
    make, recipe = ARCHITECTURES[architecture]
    key = json.dumps([architecture, recipe, RECIPE_VERSION, source.identity])
    folder = writable((cache or cache_dir()) / "models", "CTTA_CACHE")
    path = folder / f"digits_{architecture}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    with making(path.with_suffix(".json"), "CTTA_CACHE"):  # written last
        model = seeded(make)
        if not load_cached(model, path):
            log.info("training digits_%s once; it is cached in %s", architecture, folder)
            model = seeded(make)  # the other one may hold damaged weights
            train(
                model,
                source,
                epochs=int(recipe["epochs"]),
                lr=recipe["lr"],
                weight_decay=recipe["weight_decay"],
                report=report,
            )
            with saving(folder, "CTTA_CACHE"):
                save_cached(model, path)
    model.card = ModelCard(
        name=f"digits_{architecture}",
        image_shape=(3, 32, 32),
        n_classes=10,
        weights_sha256=weights_hash(model),
        licence="MIT",
    )
    return model.eval()


def seeded(make: Callable[[], SourceModel]) -> SourceModel:
    """Build a model from seed 0, leaving the caller's global generator where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        return make()


def load_cached(model: nn.Module, path: Path) -> bool:
    """Load the weights at ``path``; False if there are none or they are damaged."""
    weights, card = path.with_suffix(".safetensors"), path.with_suffix(".json")
    if not weights.is_file() or not card.is_file():
        return False
    try:
        model.load_state_dict(load_file(weights))
        expected = json.loads(card.read_text(encoding="utf-8"))["weights_sha256"]
    except (SafetensorError, RuntimeError, ValueError, TypeError, KeyError, OSError) as error:
        log.warning("%s is damaged (%s); it is made again", weights, type(error).__name__)
        return False
    if weights_hash(model) != expected:
        log.warning("%s does not have the hash on its card; it is made again", weights)
        return False
    return True


def save_cached(model: SourceModel, path: Path) -> None:
    """Write weights and card, each under a temporary name first."""
    weights, card = path.with_suffix(".safetensors"), path.with_suffix(".json")
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, temporary)
        temporary.replace(weights)
        values = {**model.card.to_dict(), "weights_sha256": weights_hash(model)}
        temporary.write_text(json.dumps(values, indent=2), encoding="utf-8")
        temporary.replace(card)
    finally:
        temporary.unlink(missing_ok=True)


def timm_model(*, name: str, pretrained: bool = True) -> SourceModel:
    """Any timm classifier by its full tag.

    Raises:
        ValueError: no such model, trained weights without a tag (timm has given other weights to
            the same short name), or weights that cannot be fetched.
    """
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(name, timm.list_models(), n=6)
        raise ValueError(
            f"model.name: timm has no {name!r}; similar names: {', '.join(near) or 'none'}"
        )
    tags = timm.list_pretrained(f"{architecture}.*")
    if pretrained and (not tag or name not in tags):
        raise ValueError(
            f"model.name: expected a full tag, one of {', '.join(tags) or '(none)'}, got {name!r}"
        )
    module = fetched(lambda: timm.create_model(name, pretrained=pretrained), name, pretrained)
    settings = timm.data.resolve_model_data_config(module)
    return WrappedModel(
        module,
        name=f"timm/{name}",
        image_shape=settings["input_size"],
        head=module.pretrained_cfg.get("classifier"),
        mean=settings["mean"],
        std=settings["std"],
    ).eval()


def torchvision_model(*, name: str, weights: str, pretrained: bool = True) -> SourceModel:
    """Any torchvision classifier, with the preprocessing that belongs to its weights.

    Args:
        name: of the architecture.
        weights: tag of the weights, as ``IMAGENET1K_V1``; ``DEFAULT`` changes with torchvision.
        pretrained: false: the network is not trained.

    Raises:
        ValueError: no such model or tag, or weights that cannot be fetched.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(f"model.name: torchvision has no {name!r}; it has {', '.join(known)}")
    tags = models.get_model_weights(name)
    if weights not in tags.__members__:
        raise ValueError(
            f"model.weights: {name} has {', '.join(tags.__members__)}, got {weights!r}"
        )
    chosen = tags[weights]
    module = fetched(
        lambda: models.get_model(name, weights=chosen if pretrained else None), name, pretrained
    )
    transform = chosen.transforms()
    side = transform.crop_size[0]
    return WrappedModel(
        module,
        name=f"torchvision/{name}.{chosen.name}",
        image_shape=(3, side, side),
        mean=transform.mean,
        std=transform.std,
        licence="BSD-3-Clause",
    ).eval()


def fetched(make: Callable[[], Any], name: str, pretrained: bool) -> Any:
    """Call ``make``; what goes wrong on the way to a hub becomes one clear line."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        try:
            return make()
        except (OSError, RuntimeError) as error:
            if not pretrained:
                raise
            raise ValueError(
                f"model.name: the weights of {name} cannot be fetched ({type(error).__name__}); "
                "check the network, or type model.pretrained=false"
            ) from error


def custom_model(
    *,
    target: str,
    weights: str | None = None,
    head: str | None = None,
    image_shape: tuple[int, int, int] = (3, 32, 32),
) -> SourceModel:
    """The user's own module.

    Args:
        target: ``package.module:factory``, called without arguments.
        weights: a safetensors file, or a torch file that loads with ``weights_only=True``.
        head: name of the last layer; None: the last linear one.
        image_shape: (C, H, W) of its images.

    Raises:
        ValueError: nothing at ``target``, or weights that do not fit.
    """
    module_name, _, factory = target.partition(":")
    try:
        module = getattr(importlib.import_module(module_name), factory)()
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"model.target: expected package.module:factory, {error}") from error
    if weights is not None:
        path = Path(weights)
        try:
            load_weights(module, read_weights(path), path)
        except ValueError as error:
            raise ValueError(f"model.weights: {error}") from error
    if isinstance(module, SourceModel):
        return module.eval()
    shape = (image_shape[0], image_shape[1], image_shape[2])  # a list where it comes from YAML
    return WrappedModel(module, name=target, image_shape=shape, head=head).eval()
