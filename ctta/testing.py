"""The contract of a method, as a plug-in author runs it: `check_method(make_method)`."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ctta.data.source import SourceData
from ctta.methods.base import Method
from ctta.methods.state import FlatState
from ctta.models.digits import TinyCNN
from ctta.models.digits_vit import TinyViT
from ctta.models.source import SourceModel, weights_hash
from ctta.online.loop import NonFiniteOutputError, run_online
from ctta.streams.stream import Batch, Domain

MakeMethod = Callable[[SourceModel], Method]
N_CLASSES, SIDE, BATCH, N_BATCHES = 5, 16, 6, 3


class ContractError(AssertionError):
    """A line of the contract does not hold.

    Attributes:
        line: its name, one of `LINES`.
    """

    def __init__(self, line: str, found: str) -> None:
        super().__init__(f"{line}: expected that {LINES[line].meaning}; {found}")
        self.line = line


class BrokenLineError(Exception):
    """What a check found, in words."""


@dataclass(frozen=True)
class Line:
    """One line of the contract.

    Attributes:
        meaning: completes "a method must see to it that".
        check: raises `BrokenLineError` where it does not hold.
    """

    meaning: str
    check: Callable[[MakeMethod, SourceModel], None]


def check_method(make_method: MakeMethod) -> None:
    """Check every line over a tiny CNN (batch norm) and a tiny transformer (layer norm).

    Args:
        make_method: builds the method over a given source model.

    Raises:
        ContractError: the first line that does not hold, and what was found.
    """
    for line, found in broken_lines(make_method).items():
        raise ContractError(line, found)


def broken_lines(make_method: MakeMethod) -> dict[str, str]:
    """All lines that do not hold -> what was found, in the order of `LINES`."""
    found: dict[str, str] = {}
    for name, line in LINES.items():
        for model in (tiny_cnn(), tiny_vit()):
            try:
                line.check(prepared(make_method), model)
            except BrokenLineError as broken:
                found.setdefault(name, f"over {model.card.name}, {broken}")
    return found


def prepared(make_method: MakeMethod) -> MakeMethod:
    """``make_method``, followed by a preparation on a few fixed source images."""

    def make(model: SourceModel) -> Method:
        method = make_method(model)
        dtype = next(model.parameters()).dtype
        images = torch.cat(batches(5, seed=2)).to(dtype)
        labels = torch.arange(len(images)) % N_CLASSES
        method.prepare(SourceData(images, labels, identity="fixed noise"))
        return method

    return make


def tiny_cnn(dtype: torch.dtype = torch.float32) -> SourceModel:
    """A batch-norm CNN with fixed weights and lived-in statistics."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        model = TinyCNN(num_classes=N_CLASSES, channels=(4, 8, 8), side=SIDE).train()
        model(torch.rand(32, 3, SIDE, SIDE))
    return model.eval().to(dtype)


def tiny_vit(dtype: torch.dtype = torch.float32) -> SourceModel:
    """A layer-norm transformer with fixed weights."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(0)
        model = TinyViT(
            img_size=SIDE, patch_size=8, num_classes=N_CLASSES, embed_dim=16, depth=2, num_heads=2
        )
    return model.eval().to(dtype)


def batches(n: int = N_BATCHES, *, size: int = BATCH, seed: int = 0) -> list[Tensor]:
    """n batches [size,3,16,16] of fixed noise in [0,1]; fresh tensors at every call."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(size, 3, SIDE, SIDE, generator=generator) for _ in range(n)]


def answers(method: Method, xs: list[Tensor]) -> list[Tensor]:
    """What the method returns along ``xs``, copied."""
    return [method(x).detach().clone() for x in xs]


def same_tensors(a: list[Tensor], b: list[Tensor]) -> bool:
    """Equal to the last bit, NaN where NaN is."""
    return all(
        torch.equal(torch.nan_to_num(x), torch.nan_to_num(y)) for x, y in zip(a, b, strict=True)
    )


def first_difference(a: FlatState, b: FlatState) -> str | None:
    """A name under which two states differ, or None."""
    for name in sorted(a.keys() | b.keys()):
        x, y = a.get(name), b.get(name)
        if isinstance(x, Tensor) and isinstance(y, Tensor):
            if not torch.equal(x, y):
                return name
        elif x != y:
            return name
    return None


# --- the lines ---------------------------------------------------------------------------------


def shapes(make: MakeMethod, model: SourceModel) -> None:
    for logits in answers(make(model), batches(1)):
        if logits.shape != (BATCH, N_CLASSES):
            raise BrokenLineError(f"adapt returned {list(logits.shape)} for {BATCH} images")


def finite(make: MakeMethod, model: SourceModel) -> None:
    for number, logits in enumerate(answers(make(model), batches())):
        if not torch.isfinite(logits).all():
            raise BrokenLineError(f"batch {number} has NaN or infinity")


def no_graph(make: MakeMethod, model: SourceModel) -> None:
    method, x = make(model), batches(1)[0]
    if method(x).requires_grad:
        raise BrokenLineError("the call returned a tensor that carries a graph: detach it")
    if method.predict(x).requires_grad:
        raise BrokenLineError("predict returned a tensor that carries a graph: use torch.no_grad")


def deterministic(make: MakeMethod, model: SourceModel) -> None:
    if not same_tensors(answers(make(model), batches()), answers(make(model), batches())):
        raise BrokenLineError("two methods of one seed gave different logits")


def deep_copy(make: MakeMethod, model: SourceModel) -> None:
    method = make(model)
    answers(method, batches(1))
    twin = copy.deepcopy(method)
    kept = twin.state_dict()
    first = answers(method, batches(seed=1))
    if moved := first_difference(kept, twin.state_dict()):
        raise BrokenLineError(f"the copy's '{moved}' moved with the original")
    if not same_tensors(first, answers(twin, batches(seed=1))):
        raise BrokenLineError("the copy went another way than the original")


def reset_replays(make: MakeMethod, model: SourceModel) -> None:
    method = make(model)
    method.reset_kind = "full"  # what survives an official reset shows afterwards
    first = answers(method, batches())
    method.reset()
    if not same_tensors(first, answers(method, batches())):
        raise BrokenLineError("after a full reset the same batches gave other logits")


def predict_is_pure(make: MakeMethod, model: SourceModel) -> None:
    method = make(model)
    answers(method, batches(1))
    before = method.state_dict()
    method.predict(batches(1, seed=1)[0])
    if moved := first_difference(before, method.state_dict()):
        raise BrokenLineError(f"predict moved '{moved}'")


def state_is_whole(make: MakeMethod, model: SourceModel) -> None:
    method = make(model)
    answers(method, batches(2))
    try:
        state = method.state_dict()
    except ValueError as error:
        raise BrokenLineError(str(error)) from error
    other = make(model)
    other.load_state_dict(state)
    if not same_tensors(answers(method, batches(seed=1)), answers(other, batches(seed=1))):
        raise BrokenLineError("a new method with the saved state went another way")


def batch_unchanged(make: MakeMethod, model: SourceModel) -> None:
    x = batches(1)[0]
    make(model)(x)
    if not torch.equal(x, batches(1)[0]):
        raise BrokenLineError("the images were written to: work on a copy")


def model_unchanged(make: MakeMethod, model: SourceModel) -> None:
    before = weights_hash(model)
    answers(make(model), batches())
    if weights_hash(model) != before:
        raise BrokenLineError("the caller's model was changed: adapt self.model, which is a copy")


def last_batch_of_one(make: MakeMethod, model: SourceModel) -> None:
    method = make(model)
    answers(method, batches(1))
    try:
        (logits,) = answers(method, batches(1, size=1))
    except (RuntimeError, ValueError, IndexError) as error:
        raise BrokenLineError(f"a batch of one image failed: {error}") from error
    if logits.shape != (1, N_CLASSES) or not torch.isfinite(logits).all():
        raise BrokenLineError(f"a batch of one image gave {logits.tolist()}")


def double_precision(make: MakeMethod, model: SourceModel) -> None:
    try:
        (logits,) = answers(make(copy.deepcopy(model).double()), [batches(1)[0].double()])
    except RuntimeError as error:
        raise BrokenLineError(f"float64 failed: {error}") from error
    if logits.dtype != torch.float64:
        raise BrokenLineError(f"float64 images gave {logits.dtype} logits")


def global_states() -> tuple[object, object, object]:
    """Where torch's, Python's and NumPy's global generators stand."""
    numpy_state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    position = numpy_state["key"].tobytes(), numpy_state["pos"]
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), position


def no_global_draws(make: MakeMethod, model: SourceModel) -> None:
    method = make(model)
    before = global_states()
    answers(method, batches())
    after = global_states()
    for name, a, b in zip(("torch", "Python", "NumPy"), before, after, strict=True):
        if a != b:
            raise BrokenLineError(f"{name}'s global generator was drawn from: use self.generator")


class TwoFutures:
    """The fixed batches as a stream whose labels, ids, domains and last images depend on ``kind``.

    Args:
        kind: 0 or 1.
    """

    name, version, resets = "two futures", 1, False
    protocol_sha256 = stream_sha256 = "none"

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.domains: Sequence[Domain] = [
            Domain("gaussian_noise", 1 + kind),
            Domain("fog", 5 - kind),
        ]

    def __len__(self) -> int:
        return N_BATCHES + 1

    def __iter__(self) -> Iterator[Batch]:
        return self.batches()

    def batches(self, start: int = 0) -> Iterator[Batch]:
        """All batches, from number ``start`` on."""
        for number, x in enumerate([*batches(), *batches(1, seed=1 + self.kind)][start:], start):
            same = torch.full((BATCH,), self.kind)
            yield Batch(x, same, same, same + BATCH * number, self.kind, number == 0)


def no_reach(make: MakeMethod, model: SourceModel) -> None:
    try:
        first, again, other = (
            run_online(make(model), TwoFutures(kind)).samples["entropy"][: N_BATCHES * BATCH]
            for kind in (0, 0, 1)
        )
    except NonFiniteOutputError:
        return  # another line's matter, as is a method that differs from itself
    if np.array_equal(first, again) and not np.array_equal(first, other):
        raise BrokenLineError("the answers depend on labels, ids, domains or images yet to come")


LINES: dict[str, Line] = {
    "shapes": Line("adapt returns logits [B,K]", shapes),
    "finite": Line("logits are finite numbers", finite),
    "no_graph": Line("what is returned carries no graph", no_graph),
    "deterministic": Line("one seed gives one trace", deterministic),
    "deep_copy": Line("a deep copy is independent and goes the same way", deep_copy),
    "reset_replays": Line("reset leads back to the start, bit for bit", reset_replays),
    "predict_is_pure": Line("predict changes nothing and draws nothing", predict_is_pure),
    "state_is_whole": Line("the saved state is all that the future needs", state_is_whole),
    "batch_unchanged": Line("the caller's images stay as they are", batch_unchanged),
    "model_unchanged": Line("the caller's model stays as it is", model_unchanged),
    "last_batch_of_one": Line("a last batch of one image is answered", last_batch_of_one),
    "double_precision": Line("float64 works throughout", double_precision),
    "no_global_draws": Line(
        "random numbers come from the method's own generators", no_global_draws
    ),
    "no_reach": Line("a method sees the images at hand and nothing else of the stream", no_reach),
}
