"""A line of the contract about devices, and the pretended device that it needs no hardware for.

A tensor of the pretended device holds an ordinary one and computes with it, but says that it is
elsewhere (on ``meta``, the one device name that every torch can be asked for). An operation on
tensors of both places is refused as a CUDA device would refuse it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

from ctta.models.source import SourceModel
from ctta.testing.material import BrokenLineError, Prepared, batches

ELSEWHERE = torch.device("meta")
# These take tensors of two devices on real ones too.
CROSSING = {"aten::_to_copy", "aten::copy_", "aten::index", "aten::index_put_", "aten::index_put"}
CROSSING |= {"aten::_index_put_impl_"}
FROM_NUMBERS = {torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor}


class TwoDevicesError(RuntimeError):
    """Tensors of two devices met."""


class Elsewhere(Tensor):
    """An ordinary tensor, ``held``, that is said to be on another device."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        made: Elsewhere = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=ELSEWHERE,
        )
        return made

    def __init__(self, held: Tensor) -> None:
        self.held = held

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Elsewhere({self.held})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return computed(func, args, kwargs or {})

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            made = self.detach().clone()
            is_parameter = isinstance(self, nn.Parameter)
            memo[id(self)] = (
                nn.Parameter(made, self.requires_grad)
                if is_parameter
                else made.requires_grad_(self.requires_grad)
            )
        found: Tensor = memo[id(self)]
        return found


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation with what its tensors hold; the answer is where a real device has it.

    Raises:
        TwoDevicesError: tensors of both places met, or a generator of the other one.
    """
    name = func._schema.name
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    far = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
    near = [tensor for tensor in tensors if not isinstance(tensor, Elsewhere) and tensor.ndim]
    if far and near and name not in CROSSING:
        raise TwoDevicesError(
            f"{name} met a tensor of the model's device and one of the CPU: make tensors with "
            "device=x.device"
        )
    if kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]).type == ELSEWHERE.type
        kwargs = {**kwargs, "device": torch.device("cpu")}
    elif name == "aten::copy_":
        there = isinstance(args[0], Elsewhere)
    else:
        there = bool(far) and name != "aten::_local_scalar_dense"
    if there and isinstance(kwargs.get("generator"), torch.Generator):
        raise TwoDevicesError(
            f"{name} drew with a generator of the CPU on the model's device: draw on "
            "the generator's device and move the draws"
        )
    args, kwargs = tree_map_only(Elsewhere, lambda tensor: tensor.held, (args, kwargs))
    made = func(*args, **kwargs)
    if not there:
        return made
    changed = {id(tensor.held): tensor for tensor in far}  # in place, where it is what came
    return tree_map_only(
        Tensor,
        lambda tensor: changed[id(tensor)] if id(tensor) in changed else Elsewhere(tensor),
        made,
    )


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation, those that make tensors from nothing among them."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return computed(func, args, kwargs or {})


class Calls(TorchFunctionMode):
    """Sees the calls that go past the operations."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Any = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in FROM_NUMBERS:
            device = kwargs.pop("device", None)
            if func is Tensor.new_tensor:
                device = args[0].device if device is None else device
                kwargs.setdefault("dtype", args[0].dtype)
                func, args = torch.tensor, args[1:]
            made = func(*args, **kwargs)
            return made if device is None else made.to(device)
        if args and isinstance(args[0], Elsewhere):
            if func is Tensor.tolist:
                return args[0].held.tolist()
            if func in (Tensor.numpy, Tensor.__array__):
                raise TwoDevicesError("numpy was asked for a tensor of the model's device")
        return func(*args, **kwargs)


@contextmanager
def another_device() -> Iterator[torch.device]:
    """Inside, tensors can be moved to the device that this yields."""
    with Calls(), Operations():  # type: ignore[no-untyped-call]
        yield ELSEWHERE


def other_device(make: Prepared, model: SourceModel) -> None:
    with another_device() as device:
        try:
            method = make(copy.deepcopy(model).to(device))
            for x in batches(2):
                for logits in (method(x.to(device)), method.predict(x.to(device))):
                    if logits.device != device:
                        raise BrokenLineError("logits did not stay on the images' device")
        except TwoDevicesError as error:
            raise BrokenLineError(f"on another device than the CPU, {error}") from error
