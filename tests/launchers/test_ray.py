"""Sweeps through Ray, where its launcher is installed."""

import pytest

pytestmark = pytest.mark.slow


def test_a_run_that_raises_and_one_that_is_killed_harm_no_other(place):
    """Ray starts a killed run again."""
    pytest.importorskip("ray", reason='Ray is not installed; type pip install "ctta[ray]"')
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    words = ["-m", "launcher=ray", "hydra.launcher.ray.init.num_cpus=2"]
    status, _, err = place.run(*words, "method=source,raises,killedonce,norm")
    assert status == 1
    assert "4 of 4 runs done, 1 failed" in err
    assert "ctta: 1 of 4 runs failed\n  batch 0: RuntimeError: broken" in err
    methods = [record["config"]["names"]["method"] for record in place.records().values()]
    assert methods == ["killedonce", "norm", "source"]
