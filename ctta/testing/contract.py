"""The lines of the contract, what each means for the leaderboard, and who reads them out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ctta.models.source import SourceModel
from ctta.testing.device import other_device
from ctta.testing.growth import N_LONG, bounded_memory
from ctta.testing.material import BrokenLineError, MakeMethod, Prepared, tiny_cnn, tiny_vit
from ctta.testing.output import (
    constant_input,
    double_precision,
    finite,
    last_batch_of_one,
    no_graph,
    shapes,
)
from ctta.testing.reach import no_files, no_global_draws, no_reach
from ctta.testing.state import (
    batch_unchanged,
    deep_copy,
    deterministic,
    model_unchanged,
    predict_is_pure,
    reset_replays,
    resume,
    state_is_whole,
)

BOTH = (tiny_cnn, tiny_vit)


@dataclass(frozen=True)
class Line:
    """One line of the contract.

    Attributes:
        meaning: completes "a method must see to it that".
        at_stake: what the leaderboard loses where it does not hold.
        check: raises `BrokenLineError` where it does not hold.
        long: takes seconds to minutes; left out unless it is asked for.
        models: what it is checked over.
    """

    meaning: str
    at_stake: str
    check: Callable[[Prepared, SourceModel], None]
    long: bool = False
    models: tuple[Callable[[], SourceModel], ...] = BOTH


@dataclass(frozen=True)
class Reading:
    """What came of one line.

    Attributes:
        name: of the line, a key of `LINES`.
        line: the line.
        found: what was found, in words; None: it holds.
        cause: the error behind it, if a check ran into one.
    """

    name: str
    line: Line
    found: str | None = None
    cause: BaseException | None = None


class ContractError(AssertionError):
    """A line of the contract does not hold.

    Attributes:
        line: its name, one of `LINES`.
    """

    def __init__(self, line: str, found: str) -> None:
        super().__init__(f"{line}: expected that {LINES[line].meaning}; {found}")
        self.line = line


def check_method(make_method: MakeMethod, *, long: bool = False) -> None:
    """Check every line over a tiny CNN (batch norm) and a tiny transformer (layer norm).

    Args:
        make_method: builds the method over a given source model.
        long: also the lines that take seconds to minutes.

    Raises:
        ContractError: the first line that does not hold, and what was found.
    """
    for reading in readings(make_method, long=long):
        if reading.found is not None:
            raise ContractError(reading.name, reading.found) from reading.cause


def broken_lines(make_method: MakeMethod, *, long: bool = False) -> dict[str, str]:
    """All lines that do not hold -> what was found, in the order of `LINES`."""
    return {r.name: r.found for r in readings(make_method, long=long) if r.found is not None}


def readings(make_method: MakeMethod, *, long: bool = False) -> Iterator[Reading]:
    """Every line as it is read, in the order of `LINES`; see `check_method`."""
    make = Prepared(make_method)
    for name, line in LINES.items():
        if long or not line.long:
            yield read(name, line, make)


def read(name: str, line: Line, make: Prepared) -> Reading:
    """One line over its models, up to the first over which it does not hold."""
    for model in (tiny() for tiny in line.models):
        try:
            line.check(make, model)
        except BrokenLineError as broken:
            return Reading(name, line, f"over {model.card.name}, {broken}", broken.__cause__)
        except Exception as error:
            words = " ".join(str(error).split())
            found = f"over {model.card.name}, it stopped with {type(error).__name__}: {words}"
            return Reading(name, line, found, error)
    return Reading(name, line)


LINES: dict[str, Line] = {
    "shapes": Line(
        "adapt returns logits [B,K]",
        "there is nothing to rank: no prediction for every image",
        shapes,
    ),
    "finite": Line(
        "logits are finite numbers",
        "a run ends as failed at the first NaN and has no row",
        finite,
    ),
    "constant_input": Line(
        "images of one colour are answered, and leave no NaN behind",
        "one black frame ends a run, and longer streams are the likelier to have one",
        constant_input,
    ),
    "no_graph": Line(
        "what is returned carries no graph",
        "memory and seconds would be counted against the method that the trace spends",
        no_graph,
    ),
    "deterministic": Line(
        "one seed gives one trace",
        "`ctta rerun` cannot confirm the result, and its spread over seeds means nothing",
        deterministic,
    ),
    "deep_copy": Line(
        "a deep copy is independent and goes the same way",
        "methods that wrap this one, and the clean error before and after, would be wrong",
        deep_copy,
    ),
    "reset_replays": Line(
        "reset leads back to the start, bit for bit",
        "settings that reset (reset_each, episodic) would leak from one domain into the next",
        reset_replays,
    ),
    "predict_is_pure": Line(
        "predict changes nothing and draws nothing",
        "measuring forgetting on clean images would change the run that it measures",
        predict_is_pure,
    ),
    "state_is_whole": Line(
        "the saved state is all that the future needs",
        "state outside of the walk is lost by a kill: the resumed run is another run",
        state_is_whole,
    ),
    "resume": Line(
        "a run that is killed and resumed from its file has the same trace",
        "a pre-empted run cannot go on: it starts anew, or its result is not the method's",
        resume,
    ),
    "batch_unchanged": Line(
        "the caller's images stay as they are",
        "the hash of the data would not be that of what the method saw",
        batch_unchanged,
    ),
    "model_unchanged": Line(
        "the caller's model stays as it is",
        "the weights' hash in the record would not be that of the source model",
        model_unchanged,
    ),
    "last_batch_of_one": Line(
        "a last batch of one image is answered",
        "streams of single samples, and those whose length leaves one over, have no result",
        last_batch_of_one,
    ),
    "double_precision": Line(
        "float64 works throughout",
        "the method cannot be compared with traces of its official code, which are float64",
        double_precision,
    ),
    "other_device": Line(
        "new tensors are made on the images' device",
        "the method has no row on a GPU, where the large data sets are run",
        other_device,
        long=True,
    ),
    "no_global_draws": Line(
        "random numbers come from the method's own generators",
        "what else is drawn in a run would change the result, and the seed would not fix it",
        no_global_draws,
    ),
    "no_reach": Line(
        "a method sees the images at hand and nothing else of the stream",
        "the result would be made with labels or with the future, and is refused",
        no_reach,
    ),
    "no_files": Line(
        "no batch makes the method open a file, a connection or a process",
        "what it reads is not in the record: it could be the test set",
        no_files,
    ),
    "bounded_memory": Line(
        f"memory does not grow with the stream, over {N_LONG:,} batches",
        "long streams (CCC has 7.5 million images) end without memory",
        bounded_memory,
        long=True,
        models=(tiny_cnn,),
    ),
}
