"""A classifier with features, and the card that says what it is."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ctta.models.compiling import compiled_forward, is_compiling
from ctta.models.gradient_scale import scaled_inside
from ctta.models.graphs import current_graphs
from ctta.models.pieces import Forward, current_pieces
from ctta.models.stages import join, stages_of

Listener = Callable[["SourceModel", Tensor, Tensor], None]
_network_dtype: ContextVar[torch.dtype | None] = ContextVar("network_dtype", default=None)
_listeners: list[Listener] = []


@contextmanager
def network_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Inside, source models compute in ``dtype`` by autocast; float32 is their own.

    Features and logits come out in float32 all the same: what a method makes of them is its own
    precision.
    """
    token = _network_dtype.set(None if dtype == torch.float32 else dtype)
    try:
        yield
    finally:
        _network_dtype.reset(token)


@contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Inside, ``listener(model, x, logits)`` is told of every forward of a source model."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@dataclass(frozen=True)
class SourceError:
    """Error of the unadapted model on a corrupted or shifted data set, as published.

    Attributes:
        data: the data set's name.
        error_pct: mean over the domains at severity 5, where it has severities.
        source: where the number was read.
        preprocessing: of the files, in the words of the data sets' identities.
        list_sha256: of the images' names and labels, or None: not known.
        normalised: whether the images were normalised.
    """

    data: str
    error_pct: float
    source: str
    preprocessing: str = "as stored"
    list_sha256: str | None = None
    normalised: bool = True


@dataclass(frozen=True)
class ModelCard:
    """What a record must know of a source model.

    Attributes:
        name: architecture and weights, as ``digits_cnn`` or a full timm tag.
        image_shape: (C, H, W) that it expects.
        n_classes: K.
        weights_sha256: of all parameters and buffers, see `weights_hash`.
        licence: of the weights.
        clean_error_pct: expected on the clean test set, or None.
        weights_tag: the publisher's name of the weights.
        source: where they are published.
        file_sha256: of the file that was read, or None: there was none.
        verified: whether that is the checksum that was expected of the file.
        mean: channel means that the model takes off, or None: it normalises nothing.
        std: channel deviations that it divides by, or None.
        resize: shorter side, or (H, W), that clean images are resized to, or None.
        crop: side of the centre crop after that.
        interpolation: of the resizing.
        classes: name of the list of classes.
        classes_sha256: of their names in the order of the outputs, one a line; None: no names.
        source_domain: of the data set that it was trained on, where that has several.
        source_errors: published errors of the unadapted model.
        deviations: what is not as published, one sentence each; a run with any is no reproduction.
    """

    name: str
    image_shape: tuple[int, int, int]
    n_classes: int
    weights_sha256: str
    licence: str = "unknown"
    clean_error_pct: float | None = None
    weights_tag: str | None = None
    source: str | None = None
    file_sha256: str | None = None
    verified: bool = False
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: int | tuple[int, int] | None = None
    crop: int | None = None
    interpolation: str = "bilinear"
    classes: str | None = None
    classes_sha256: str | None = None
    source_domain: str | None = None
    source_errors: tuple[SourceError, ...] = ()
    deviations: tuple[str, ...] = ()

    @property
    def preprocessing(self) -> str:
        """Of clean images, in the words of the data sets' identities."""
        resized = f"resize {self.resize} {self.interpolation}, " if self.resize else ""
        return f"{resized}centre crop {self.crop}" if resized else "as stored"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return values


class SourceModel(nn.Module):
    """Base of all source models; channel normalisation lives inside.

    Attributes:
        card: see `ModelCard`.
        head: the last layer, [B,D] -> [B,K].
        stages: ordered groups of names of submodules, so that a method may freeze "the last stage".
    """

    card: ModelCard
    head: nn.Module
    stages: Sequence[Sequence[str]]

    def __call__(self, x: Tensor) -> Tensor:
        """`forward`: in the `network_dtype`, compiled, in pieces or as a CUDA graph, where these
        are asked for.
        """
        (logits,) = self.computed(self.whole, x)
        return logits

    def computed(self, forward: Forward, x: Tensor) -> tuple[Tensor, ...]:
        """What ``forward`` makes of ``x``, the logits last, as a float32 network gives it."""
        dtype, special = _network_dtype.get(), current_pieces() or current_graphs()
        # Methods move weights between two forwards: kept casts of them would be stale.
        cast = dtype and torch.autocast(x.device.type, dtype, cache_enabled=False)
        with cast or nullcontext():
            made = forward(x) if special is None else special(self, forward, x)
        if dtype is not None:
            made = tuple(part.float() for part in made)
        if dtype == torch.float16:
            made = scaled_inside(self, x, made)
        for listener in _listeners:
            listener(self, x, made[-1])
        return made

    def whole(self, x: Tensor) -> tuple[Tensor, ...]:
        """The logits of one forward."""
        return (compiled_forward(self, x) if is_compiling() else super().__call__(x),)

    def both(self, x: Tensor) -> tuple[Tensor, ...]:
        """Features and logits of one forward, which is not compiled: a hook looks inside."""
        received: list[Tensor] = []
        handle = self.head.register_forward_pre_hook(lambda _, args: received.append(args[0]))
        try:
            logits: Tensor = super().__call__(x)
        finally:
            handle.remove()
        return received[0], logits

    def features(self, x: Tensor) -> Tensor:
        """[B,C,H,W] -> [B,D]."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """[B,C,H,W] in [0,1] -> logits [B,K]."""
        logits: Tensor = self.head(self.features(x))
        return logits

    @property
    def n_features(self) -> int:
        """D, the columns of the head's weight."""
        weight = getattr(self.head, "weight", None)  # made from two parameters where it is normed
        if weight is None:
            weight = next(self.head.parameters())
        assert isinstance(weight, Tensor)
        return weight.shape[1]

    @property
    def adapter_targets(self) -> list[str]:
        """Names of the layers that adapters go beside: the attention's linear maps.

        Where there are none, the convolutions that keep the side (or divide it by their stride).
        A layer whose weights are read without calling it, as in torchvision's transformers, is
        not among them.
        """
        linears = [
            join(name, inner)
            for name, module in self.named_modules()
            if type(module).__name__.endswith("Attention")
            for inner, layer in module.named_modules()
            if isinstance(layer, nn.Linear)
        ]
        if linears:
            called = self.called(linears)
            return [name for name in dict.fromkeys(linears) if name in called]
        return [
            name
            for name, layer in self.named_modules()
            if isinstance(layer, nn.Conv2d)
            and not isinstance(layer.padding, str)
            and all(
                2 * p == d * (k - 1)
                for p, d, k in zip(layer.padding, layer.dilation, layer.kernel_size, strict=True)
            )
        ]

    @torch.no_grad()
    def called(self, names: Sequence[str]) -> set[str]:
        """Which of the named modules a forward calls; found by one on a black image.

        Raises:
            ValueError: the network does not take an image of the shape on its card.
        """
        model, found = copy.deepcopy(self).eval(), set[str]()
        for name in names:
            model.get_submodule(name).register_forward_pre_hook(
                lambda _, __, name=name: found.add(name)
            )
        weight = next(model.parameters())
        try:
            model(weight.new_zeros(1, *self.card.image_shape))
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"model.image_shape: {self.card.name} does not take an image of "
                f"{list(self.card.image_shape)}, as its card says: {error}"
            ) from error
        return found

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B,D] and [B,K] of one forward."""
        features, logits = self.computed(self.both, x)
        return features.to(logits), logits


class WrappedModel(SourceModel):
    """Any module whose last layer is a submodule, as a source model.

    Args:
        module: maps [B,C,H,W] to [B,K].
        head: name of the last layer inside it; None: the last linear layer.
        name: for the card.
        image_shape: (C, H, W).
        mean: channel means that are taken off first, or None.
        std: channel deviations that are divided by, or None.
        licence: of the weights.

    Raises:
        ValueError: no such submodule, or none that could be the head.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        module: nn.Module,
        *,
        name: str,
        image_shape: tuple[int, int, int],
        head: str | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        licence: str = "unknown",
    ) -> None:
        super().__init__()
        self.module = module
        self.head_name = head or last_linear(module)
        names = dict(module.named_modules())
        if self.head_name not in names:
            raise ValueError(
                f"head: {name} has no submodule {self.head_name!r}; see named_modules()"
            )
        channels = image_shape[0]
        self.register_buffer("mean", torch.tensor(mean or [0.0] * channels).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std or [1.0] * channels).view(-1, 1, 1))
        stages = stages_of(module, self.head_name)
        self.stages = [[f"module.{part}" for part in stage] for stage in stages]
        weight = getattr(names[self.head_name], "weight", None)
        self.card = ModelCard(
            name=name,
            image_shape=image_shape,
            n_classes=0 if weight is None else len(weight),
            weights_sha256=weights_hash(self),
            licence=licence,
            mean=None if mean is None else tuple(mean),
            std=None if std is None else tuple(std),
        )

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        """The last layer."""
        return self.module.get_submodule(self.head_name)

    def features(self, x: Tensor) -> Tensor:
        """[B,C,H,W] -> [B,D], what the last layer receives."""
        return self.features_and_logits(x)[0]

    def forward(self, x: Tensor) -> Tensor:
        """[B,C,H,W] in [0,1] -> logits [B,K]."""
        # As a plain module: a source model inside would be heard, cast and split once more.
        logits: Tensor = nn.Module.__call__(self.module, (x - self.mean) / self.std)
        return logits


def last_linear(module: nn.Module) -> str:
    """Name of the last linear layer.

    Raises:
        ValueError: there is none.
    """
    names: list[str] = [n for n, part in module.named_modules() if isinstance(part, nn.Linear)]
    if not names:
        raise ValueError("head: the module has no linear layer; name its last layer with head=...")
    return names[-1]


def weights_hash(model: nn.Module) -> str:
    """SHA-256 over names, shapes, dtypes and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    state: dict[str, Tensor] = model.state_dict()
    for name, tensor in state.items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    found: str = digest.hexdigest()
    return found
