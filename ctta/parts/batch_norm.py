"""Batch-norm statistics at test time, and the choice of what is trained."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm)
AFTERWARDS = ["drop", "act"]  # the children of timm's BatchNormAct2d, in the order of its forward


def batch_norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    """The BatchNorm2d layers in order."""
    return [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]


def turn_into(layer: _BatchNorm, cls: type[_BatchNorm]) -> None:
    """Give a batch norm another way to normalise; names, weights and statistics stay.

    Raises:
        ValueError: a layer whose own forward, which would be lost, is not that of a batch norm of
            torch, or of timm with its dropout and activation.
    """
    children = [name for name, _ in layer.named_children()]
    own = type(layer).forward is not _BatchNorm.forward
    if own and children != AFTERWARDS and not isinstance(layer, cls):
        raise ValueError(
            f"expected batch norms of torch or timm, got a {type(layer).__name__} with a forward "
            "of its own, which would be lost; put a torch.nn.BatchNorm2d in its place"
        )
    layer.__class__ = cls


def finished(layer: nn.Module, x: Tensor) -> Tensor:
    """What timm's BatchNormAct2d does to what it has normalised; nothing for torch's layers."""
    for child in layer.children():
        x = child(x)
    return x


class OwnBatchNorm1d(nn.BatchNorm1d):
    """Normalises with the batch at hand in either mode, and with the source's statistics if that
    holds one value a channel, which has no spread. The source's statistics never move."""

    def forward(self, x: Tensor) -> Tensor:
        """x [B,C] or [B,C,L] -> the same."""
        single = x.numel() == x.shape[1]
        x = F.batch_norm(
            x,
            self.running_mean if single else None,
            self.running_var if single else None,
            self.weight,
            self.bias,
            training=not single,
            eps=self.eps,
        )
        return finished(self, x)


def use_batch_statistics(model: nn.Module) -> None:
    """Every BatchNorm2d normalises with the batch at hand, in either mode, and keeps nothing.

    The statistics are the mean and the biased variance; gradients flow through them. So it is for
    BatchNorm1d, but for a single row: see `OwnBatchNorm1d`. mariodoebler/test-time-adaptation at
    8b2ed63 gets there by train mode, and by eval mode for one sample.
    """
    for layer in batch_norms(model):
        layer.track_running_stats = False
        layer.running_mean = layer.running_var = layer.num_batches_tracked = None
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            turn_into(module, OwnBatchNorm1d)


def norm_only(
    model: nn.Module, *, leave_out: Container[str] = frozenset()
) -> dict[str, nn.Parameter]:
    """Set ``model`` up as TENT and its descendants do; returns what is trained, by name.

    Eval mode, batch norm on the batch at hand, gradients for the weights and biases of the
    normalisation layers and for nothing else.

    Args:
        model: changed in place.
        leave_out: names of modules that are not trained.

    Raises:
        ValueError: nothing would be trained.
    """
    model.eval()
    use_batch_statistics(model)
    return norm_affine(model, leave_out=leave_out)


def norm_affine(
    model: nn.Module, *, leave_out: Container[str] = frozenset()
) -> dict[str, nn.Parameter]:
    """Gradients for the affine parameters of normalisation layers only; see `norm_only`."""
    model.requires_grad_(False)
    trained = {
        f"{name}.{kind}": parameter
        for name, module in model.named_modules()
        if isinstance(module, NORMS) and name not in leave_out
        for kind, parameter in module.named_parameters(recurse=False)
    }
    if not trained:
        raise ValueError(
            "this method trains the affine parameters of normalisation layers; this model has "
            "none" + (" before its last stage" if leave_out else "")
        )
    for parameter in trained.values():
        parameter.requires_grad_(True)
    return trained


def named_weights_and_biases(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that a module owns under exactly the name ``weight`` or ``bias``.

    A ViT's class token, position embedding and packed attention weights are not among them.
    """
    return {n: p for n, p in model.named_parameters() if n.rpartition(".")[2] in ("weight", "bias")}


class MixedBatchNorm2d(nn.BatchNorm2d):
    """Source statistics mixed with those of the batch: ``(1-s) running + s batch``.

    The batch variance is the unbiased one, n/(n-1) with n = B H W, as the official BN-alpha code
    reads it; the source statistics never move.
    """

    batch_share: float

    def forward(self, x: Tensor) -> Tensor:
        """x [B,C,H,W] -> [B,C,H,W]."""
        variance, mean = torch.var_mean(x, dim=(0, 2, 3), unbiased=True)
        share = self.batch_share
        assert self.running_mean is not None
        assert self.running_var is not None
        x = F.batch_norm(
            x,
            (1 - share) * self.running_mean + share * mean,
            (1 - share) * self.running_var + share * variance,
            self.weight,
            self.bias,
            training=False,
            eps=self.eps,
        )
        return finished(self, x)


def mix_statistics(model: nn.Module, batch_share: float) -> None:
    """Turn every BatchNorm2d into the mixed form; see `turn_into`."""
    for layer in batch_norms(model):
        turn_into(layer, MixedBatchNorm2d)
        assert isinstance(layer, MixedBatchNorm2d)
        layer.batch_share = batch_share


class RobustBatchNorm(_BatchNorm):
    """In training, ``(1-m) stored + m batch`` normalises and is stored; m is ``momentum``.

    The batch variance is the biased one; gradients flow through the batch's part. In eval mode the
    stored statistics are used as they are (RoTTA).
    """

    def forward(self, x: Tensor) -> Tensor:
        """x [B,C,...] -> the same."""
        assert self.running_mean is not None
        assert self.running_var is not None
        mean, variance = self.running_mean, self.running_var
        if self.training:
            assert self.momentum is not None
            rest = [axis for axis in range(x.ndim) if axis != 1]
            batch_variance, batch_mean = torch.var_mean(x, dim=rest, unbiased=False)
            mean = (1 - self.momentum) * mean + self.momentum * batch_mean
            variance = (1 - self.momentum) * variance + self.momentum * batch_variance
            self.running_mean.copy_(mean.detach())
            self.running_var.copy_(variance.detach())
        # Written out: F.batch_norm takes statistics as constants.
        shape = (1, -1) + (1,) * (x.ndim - 2)
        x = (x - mean.view(shape)) / (variance.view(shape) + self.eps).sqrt()
        if self.affine:
            x = x * self.weight.view(shape) + self.bias.view(shape)
        return finished(self, x)


class RobustBatchNorm1d(RobustBatchNorm, nn.BatchNorm1d):
    """`RobustBatchNorm` in the place of a BatchNorm1d."""


class RobustBatchNorm2d(RobustBatchNorm, nn.BatchNorm2d):
    """`RobustBatchNorm` in the place of a BatchNorm2d."""


def use_robust_statistics(model: nn.Module, momentum: float) -> None:
    """Turn every batch norm into the robust form; see `turn_into`."""
    for layer in model.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            wide = isinstance(layer, nn.BatchNorm2d)
            turn_into(layer, RobustBatchNorm2d if wide else RobustBatchNorm1d)
            layer.momentum = momentum


@contextmanager
def statistics_held(model: nn.Module) -> Iterator[None]:
    """Layers that would move their running statistics in a forward leave them alone inside."""
    moving = [m for m in batch_norms(model) if m.training and m.track_running_stats]
    for layer in moving:
        layer.track_running_stats = False  # still normalises with the batch
    try:
        yield
    finally:
        for layer in moving:
            layer.track_running_stats = True


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """All modules in eval mode inside, each in its own mode again afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def normalised(norm: nn.BatchNorm1d, features: Tensor, *, moving: bool) -> Tensor:
    """Features [B,D] through ``norm`` in its own mode; one sample has no batch statistics.

    Args:
        norm: keeps its mode.
        features: [B,D].
        moving: the running statistics follow, if the mode is train.
    """
    by_batch = norm.training and len(features) > 1
    if by_batch and moving:
        answer: Tensor = norm(features)
        return answer
    mean, var = (None, None) if by_batch else (norm.running_mean, norm.running_var)
    return F.batch_norm(features, mean, var, norm.weight, norm.bias, by_batch, eps=norm.eps)
