"""Fixtures that several folders share."""

import pytest


@pytest.fixture(scope="session")
def digits_cache(tmp_path_factory):
    """A cache folder for the session: the digits models are trained at most once in it."""
    return tmp_path_factory.mktemp("cache")
