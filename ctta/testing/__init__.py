"""The contract of a method, as a plug-in author runs it: `check_method(make_method)`."""

from ctta.testing.contract import (
    LINES,
    ContractError,
    Line,
    Reading,
    broken_lines,
    check_method,
    readings,
)
from ctta.testing.material import (
    MakeMethod,
    answers,
    batches,
    prepared,
    source_data,
    tiny_cnn,
    tiny_vit,
)

__all__ = [
    "LINES",
    "ContractError",
    "Line",
    "MakeMethod",
    "Reading",
    "answers",
    "batches",
    "broken_lines",
    "check_method",
    "prepared",
    "readings",
    "source_data",
    "tiny_cnn",
    "tiny_vit",
]
