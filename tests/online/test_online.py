"""The loop, the trace, the window, and going on after a checkpoint, with real methods."""

import collections
import os
import random

import numpy as np
import pytest
import torch

from ctta.methods.base import Method
from ctta.methods.cotta import CoTTA
from ctta.methods.norm import Norm
from ctta.methods.source import Source
from ctta.methods.state import state_sha256
from ctta.methods.tent import Tent
from ctta.models.digits import TinyCNN
from ctta.online.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from ctta.online.loop import NonFiniteOutputError, clean_error_pct, run_online
from ctta.online.observers import Progress
from ctta.online.resume import REACHED, batches_reached
from ctta.online.trace import SAMPLE_COLUMNS, Trace
from ctta.online.window import Window
from ctta.streams.stream import CorruptionStream

ADAM = {"name": "adam", "lr": 0.01}


class Noise:
    """Random images that depend on the domain, nothing to download or to train."""

    name, version, severity, corruptions = "noise", 1, 5, ("fog", "snow")
    identity = {"id": "noise"}  # noqa: RUF012

    def labels(self, corruption, severity):
        return np.arange(14) % 4

    def images(self, corruption, severity, indices):
        generator = torch.Generator().manual_seed(self.corruptions.index(corruption))
        return torch.rand(14, 3, 16, 16, generator=generator)[torch.from_numpy(indices)]


def stream(**changes):
    return CorruptionStream(Noise(), **{"batch_size": 4, **changes})


def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = TinyCNN(num_classes=4, side=16)
        made.train()
        made(torch.rand(32, 3, 16, 16))
    return made.eval()


METHODS = {
    "source": lambda: Source(model()),
    "norm": lambda: Norm(model(), statistics="updated", bn_momentum=0.1),
    "tent": lambda: Tent(model(), optimizer=ADAM),
    "cotta": lambda: CoTTA(
        model(),
        optimizer=ADAM,
        ema_decay=0.9,
        n_views=2,
        unsure_below=0.3,
        restore_prob=0.1,
        symmetric_loss=True,
    ),
}


class Echo(Method):
    """Answers with the mean of the image in class 0; keeps what it was given."""

    paper, version = "none", 1

    def __init__(self, model, answer=None, **shared):
        super().__init__(model, **shared)
        self.answer, self.sizes = answer, []

    def adapt(self, x):
        self.sizes.append(len(x))
        return self.predict(x) if self.answer is None else self.answer(x)

    def predict(self, x):
        return torch.nn.functional.pad(x.mean(dim=(1, 2, 3))[:, None], (0, 3))

    not_state = Method.not_state | {"answer", "sizes"}


def test_the_trace_says_what_happened():
    made = stream()
    trace = run_online(METHODS["tent"](), made)
    assert len(trace) == 28
    assert trace.domain_names == ("fog-5", "snow-5")
    assert trace.samples["segment"].tolist() == [0] * 14 + [1] * 14
    assert trace.batches["batch_size"].tolist() == [4, 4, 4, 2] * 2
    assert trace.batches["forwards"].tolist() == [1] * 8
    assert trace.batches["backwards"].tolist() == [1] * 8
    assert (trace.batches["adapt_seconds"] > 0).all()
    ids = np.concatenate([b.ids.numpy() for b in made])
    assert trace.samples["sample_id"].tolist() == ids.tolist()
    assert trace.samples["label"].tolist() == (ids % 4).tolist()


def test_the_columns_follow_from_the_logits():
    logits = []

    class Listener(Progress):
        def on_batch(self, batch, out):
            logits.append(out)

    trace = run_online(METHODS["norm"](), stream(), observers=[Listener("t")])
    p = torch.cat(logits).double().softmax(1).numpy()
    label = trace.samples["label"]
    close = {"rtol": 1e-6, "atol": 1e-7}
    np.testing.assert_allclose(trace.samples["top_prob"], p.max(1), **close)
    np.testing.assert_allclose(
        trace.samples["label_logprob"], np.log(p[np.arange(28), label]), **close
    )
    np.testing.assert_allclose(trace.samples["sum_sq_prob"], (p**2).sum(1), **close)
    np.testing.assert_allclose(trace.samples["entropy"], -(p * np.log(p)).sum(1), **close)
    assert trace.samples["prediction"].tolist() == p.argmax(1).tolist()


def test_probability_zero_has_entropy_zero():
    sure = Echo(model(), answer=lambda x: torch.tensor([[1e4, 0.0, 0.0, 0.0]]).expand(len(x), 4))
    assert run_online(sure, stream()).samples["entropy"].tolist() == [0.0] * 28


@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_a_trace_survives_the_disk_and_a_damaged_one_is_refused(tmp_path, monkeypatch, piece):
    trace = run_online(METHODS["source"](), stream(), keep_logits=True)
    sha256 = trace.sha256()
    monkeypatch.setattr("ctta.online.trace.PIECE", piece)
    trace.save(tmp_path / "trace.npz")
    again = Trace.load(tmp_path / "trace.npz")
    assert again.sha256() == trace.sha256() == sha256
    assert np.array_equal(again.logits, trace.logits)
    for name, column in trace.batches.items():
        assert np.array_equal(again.batches[name], column)
        assert again.batches[name].dtype == column.dtype
    assert (again.domain_names, again.n_classes) == (trace.domain_names, 4)
    assert [p.name for p in tmp_path.iterdir()] == ["trace.npz"]
    (tmp_path / "half.npz").write_bytes((tmp_path / "trace.npz").read_bytes()[:900])
    for name in ("half.npz", "absent.npz"):
        with pytest.raises(ValueError, match=f"{name} is not a whole trace"):
            Trace.load(tmp_path / name)


def test_logits_are_kept_where_asked(tmp_path):
    trace = run_online(METHODS["tent"](), stream(), keep_logits=True)
    assert trace.logits.shape == (28, 4)
    assert trace.logits.argmax(1).tolist() == trace.samples["prediction"].tolist()
    trace.save(tmp_path / "trace.npz")
    assert np.array_equal(Trace.load(tmp_path / "trace.npz").logits, trace.logits)
    assert run_online(METHODS["tent"](), stream()).logits is None


def test_rows_go_to_the_disk_and_not_to_memory(tmp_path):
    import tracemalloc

    class Long(CorruptionStream):
        def batches(self, start=0):
            first = next(super().batches())
            yield from (first for _ in range(n_batches))

    peaks = []
    for n_batches in (100, 1100):
        method = Echo(model(), answer=lambda x: torch.zeros(len(x), 4))
        method.sizes = collections.deque(maxlen=1)
        tracemalloc.start()
        run_online(method, Long(Noise(), batch_size=14), checkpoint=tmp_path / str(n_batches))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 50_000  # the rows themselves take 616,000 bytes more


def test_a_checkpoint_whose_rows_are_gone_is_refused(tmp_path):
    run_online(METHODS["source"](), stream(), checkpoint=tmp_path, checkpoint_every=2)
    (tmp_path / "rows" / "samples").write_bytes(b"")
    with pytest.raises(ValueError, match="samples lacks rows of its checkpoint"):
        run_online(METHODS["source"](), stream(), resume_from=tmp_path)


@pytest.mark.parametrize("column", sorted(SAMPLE_COLUMNS))
def test_every_column_counts_in_the_hash(column):
    trace = run_online(METHODS["source"](), stream())
    changed = trace.samples[column].copy()
    changed[0] += 1
    other = Trace({**trace.samples, column: changed}, trace.batches, trace.domain_names, 4)
    assert other.sha256() != trace.sha256()


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("window", [1, 3])
def test_a_resumed_run_gives_the_same_bits(name, window, tmp_path):
    path = tmp_path / "checkpoint"
    whole = run_online(
        METHODS[name](), stream(), window=window, checkpoint=path, checkpoint_every=3
    )
    saved = load_checkpoint(path / "state.safetensors", known=METHODS[name]().start)
    assert saved["trace"]["n_batches"] == 6
    resumed = run_online(METHODS[name](), stream(), window=window, resume_from=path)
    assert resumed.sha256() == whole.sha256()
    assert len(resumed) == 28


class Drawing(Method):
    """Draws from the global generators, as train-mode dropout and other people's methods do."""

    paper, version = "none", 1

    def adapt(self, x):
        drawn = [torch.rand(1).item(), random.random(), np.random.rand(), np.random.randn()]  # noqa: NPY002
        return torch.tensor(drawn).expand(len(x), 4)

    predict = adapt


def test_a_resumed_run_draws_on(tmp_path):
    whole = run_online(Drawing(model()), stream(), checkpoint=tmp_path, checkpoint_every=3)
    resumed = run_online(Drawing(model()), stream(), resume_from=tmp_path)
    assert resumed.sha256() == whole.sha256()


def test_a_checkpoint_has_what_changed_and_refuses_another_start(tmp_path):
    sizes = {}
    for name in ("source", "tent", "cotta"):
        run_online(METHODS[name](), stream(), checkpoint=tmp_path / name, checkpoint_every=3)
        sizes[name] = (tmp_path / name / "state.safetensors").stat().st_size
    parameters = 4 * sum(p.numel() for p in model().parameters())
    assert sizes["tent"] - sizes["source"] < parameters / 4 < 2 * parameters < sizes["cotta"]
    other = METHODS["tent"]()
    other.model.head.weight.data += 1
    other.remember()
    before = other.state_dict()
    with pytest.raises(CheckpointError, match="belongs to a method with another start"):
        run_online(other, stream(), resume_from=tmp_path / "tent")
    assert state_sha256(other.state_dict()) == state_sha256(before)


def test_seconds_are_counted_from_the_last_save(tmp_path):
    run_online(METHODS["source"](), stream(), checkpoint=tmp_path / "a", checkpoint_every="60s")
    assert not (tmp_path / "a" / "state.safetensors").exists()
    run_online(METHODS["source"](), stream(), checkpoint=tmp_path / "b", checkpoint_every="0.0001s")
    saved = load_checkpoint(tmp_path / "b" / "state.safetensors", known=METHODS["source"]().start)
    assert saved["trace"]["n_batches"] == 8


def test_a_checkpoint_of_another_stream_is_refused(tmp_path):
    path = tmp_path / "c"
    run_online(METHODS["source"](), stream(), checkpoint=path, checkpoint_every=2)
    with pytest.raises(ValueError, match="belongs to another stream"):
        run_online(METHODS["source"](), stream(seed=9), resume_from=path)


def test_checkpoints_carry_trees_and_refuse_damage(tmp_path):
    tree = {"a": torch.arange(3), 2: [1, None, "x", {"b": torch.ones(2, dtype=torch.float64)}]}
    save_checkpoint(tmp_path / "c", tree)
    back = load_checkpoint(tmp_path / "c")
    assert torch.equal(back["a"], tree["a"])
    assert back[2][:3] == [1, None, "x"]
    assert back[2][3]["b"].dtype == torch.float64
    (tmp_path / "d").write_bytes((tmp_path / "c").read_bytes()[:-3])
    for name in ("d", "absent"):
        with pytest.raises(ValueError, match="not a whole checkpoint"):
            load_checkpoint(tmp_path / name)
    from safetensors.torch import save_file

    save_file({}, tmp_path / "e", metadata={"version": "7", "tree": "{}"})
    with pytest.raises(ValueError, match="expected a checkpoint of version 1, got 7"):
        load_checkpoint(tmp_path / "e")


def test_a_checkpoint_is_refused_without_what_it_leaves_out(tmp_path):
    known = {"a": torch.arange(3)}
    save_checkpoint(tmp_path / "c", {"a": torch.arange(3)}, known=known)
    assert torch.equal(load_checkpoint(tmp_path / "c", known=known)["a"], known["a"])
    with pytest.raises(CheckpointError, match="the checkpoint leaves out a, unknown here"):
        load_checkpoint(tmp_path / "c")


def test_how_far_a_process_came_is_known_where_it_left_word(tmp_path):
    assert batches_reached(tmp_path) is None
    (tmp_path / REACHED).write_bytes((300).to_bytes(8, "little"))
    assert batches_reached(tmp_path) == 300
    (tmp_path / REACHED).write_bytes(b"\x01")
    assert batches_reached(tmp_path) is None


def test_tensors_that_share_memory_are_saved_apart(tmp_path):
    x = torch.arange(6.0)
    save_checkpoint(
        tmp_path / "c", {"whole": x, "same": x, "part": x[2:4], "column": x.view(2, 3).T}
    )
    tree = load_checkpoint(tmp_path / "c")
    assert torch.equal(tree["whole"], x)
    assert torch.equal(tree["same"], x)
    assert torch.equal(tree["part"], x[2:4])
    assert torch.equal(tree["column"], x.view(2, 3).T)


def test_the_window_adapts_when_full_and_predicts_between():
    method = Echo(model())
    window = Window(method, 3)
    x = torch.rand(7, 3, 8, 8)
    out = window(x)
    assert method.sizes == [3, 3]
    torch.testing.assert_close(out[:, 0], x.mean(dim=(1, 2, 3)))
    assert torch.equal(window.ring, torch.stack([x[6], x[4], x[5]]))
    window.reset()
    assert window.ring is None
    with pytest.raises(ValueError, match="window: expected at least 1"):
        Window(method, 0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_method_that_returns_nan_is_stopped_with_the_batch_number(bad):
    def answer(x):
        return torch.full((len(x), 4), 0.0 if len(x) == 4 else bad)

    with pytest.raises(NonFiniteOutputError, match=r"batch 3: .*NaN or infinity"):
        run_online(Echo(model(), answer=answer), stream())


def test_an_output_of_the_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r"batch 0: expected logits \[4, K\], got \[4\]"):
        run_online(Echo(model(), answer=lambda x: x.mean(dim=(1, 2, 3))), stream())


def test_the_callers_generators_come_back():
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    run_online(Echo(model(), answer=lambda x: torch.rand(len(x), 4)), stream())
    drawn = torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    assert drawn == (torch.rand(1), random.random(), np.random.rand())  # noqa: NPY002


def test_operators_add_up_in_a_fixed_order_inside_only(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    seen = set()

    def answer(x):
        seen.add((torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark))
        return x.flatten(1)[:, :4]

    run_online(Echo(model(), answer=answer), stream())
    assert seen == {(True, False)}
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_reset_each_repeats_itself():
    class Same(Noise):
        def images(self, corruption, severity, indices):
            return super().images("fog", severity, indices)

    trace = run_online(
        METHODS["tent"](), CorruptionStream(Same(), setting="reset_each", batch_size=4)
    )
    halves = trace.samples["label_logprob"].reshape(2, 14)
    assert np.array_equal(halves[0], halves[1])
    trace = run_online(METHODS["tent"](), CorruptionStream(Same(), batch_size=4))
    halves = trace.samples["label_logprob"].reshape(2, 14)
    assert not np.array_equal(halves[0], halves[1])


def test_clean_error_changes_nothing():
    method = METHODS["tent"]()
    before = method.state_dict()
    x, y = torch.rand(10, 3, 16, 16), torch.arange(10) % 4
    error = clean_error_pct(method, x, y, batch_size=4)
    predictions = torch.cat([method.predict(part).argmax(1) for part in x.split(4)])
    assert error == pytest.approx(100 * float((predictions != y).float().mean()))
    after = method.state_dict()
    for name, value in before.items():
        assert torch.equal(value, after[name]) if torch.is_tensor(value) else value == after[name]


def test_progress_prints_plain_lines_off_a_terminal_and_a_bar_on_one():
    import io

    from rich.console import Console

    for terminal in (False, True):
        text = io.StringIO()
        console = Console(file=text, force_terminal=terminal, width=100)
        run_online(METHODS["source"](), stream(), observers=[Progress("mine", console)])
        assert "mine: 8/8, error" in text.getvalue()
        assert ("\x1b" in text.getvalue()) == terminal


@pytest.mark.parametrize("keep_logits", [False, True])
def test_progress_goes_on_with_the_error_of_the_process_before(tmp_path, monkeypatch, keep_logits):
    import io

    from rich.console import Console

    monkeypatch.setattr("ctta.online.observers.SECONDS_BETWEEN_LINES", -1)
    lines = {}
    for resume_from in (None, tmp_path):
        console = Console(file=io.StringIO(), width=100)
        trace = run_online(
            METHODS["tent"](),
            stream(),
            observers=[Progress("t", console)],
            keep_logits=keep_logits,
            checkpoint=None if resume_from else tmp_path,
            checkpoint_every=None if resume_from else 3,
            resume_from=resume_from,
        )
        lines[resume_from] = console.file.getvalue().splitlines()
    wrong = trace.samples["label"] != trace.samples["prediction"]
    ends = trace.batches["batch_size"].cumsum()
    assert lines[None] == [
        *(f"t: {n}/8, error {100 * wrong[:end].mean():.1f} %" for n, end in enumerate(ends, 1)),
        f"t: 8/8, error {100 * wrong.mean():.1f} %",
    ]
    assert lines[tmp_path] == lines[None][6:]


def test_the_bar_of_a_resumed_run_starts_where_the_other_ended():
    import io

    from rich.console import Console

    clock = iter(range(1000))
    watch = Progress("t", Console(file=io.StringIO(), force_terminal=True, width=100))
    watch.bar.get_time = lambda: float(next(clock))
    trace = run_online(METHODS["source"](), stream())
    half = Trace(
        {name: column[:14] for name, column in trace.samples.items()},
        {name: column[:4] for name, column in trace.batches.items()},
        trace.domain_names,
        4,
    )
    watch.on_start(stream(), half)
    (task,) = watch.bar.tasks
    assert (task.completed, task.total) == (4, 8)
    assert task.fields["error"] == 100 * half.n_wrong() / 14
    for batch in list(stream())[4:7]:
        watch.on_batch(batch, torch.zeros(len(batch.y), 4))
    # One batch is left: the time of about one, not of the four that this process did not run.
    assert 0 < task.time_remaining <= 1.5 * (task.elapsed / 3)
    watch.close()
