"""Each line of the contract can fail, alone."""

import sys
from pathlib import Path

import pytest

from ctta.testing import LINES, ContractError, broken_lines, check_method

sys.path.insert(0, str(Path(__file__).parents[1] / "plugins" / "bad"))
from methods import BAD, Plain, ResetReplays


def test_every_line_has_its_breaker():
    assert list(BAD) == list(LINES)


def test_the_plain_one_keeps_the_contract():
    check_method(Plain)


@pytest.mark.parametrize("line", LINES)
def test_that_line_and_no_other(line):
    assert list(broken_lines(BAD[line])) == [line]
    with pytest.raises(ContractError, match=f"{line}: expected that") as caught:
        check_method(BAD[line])
    assert caught.value.line == line


class Survivor(Plain):
    """The mean officially survives a reset; a full one puts it back."""

    survives_reset = ("mean",)


class BadSurvivor(ResetReplays):
    """The mean survives a full reset as well, whatever the class says."""

    survives_reset = ("generator",)


def test_a_reset_is_replayed_in_full_where_something_survives_the_official_one():
    check_method(Survivor)
    assert list(broken_lines(BadSurvivor)) == ["reset_replays"]
