"""The tutorial's lines run as they stand, in an environment of their own."""

import os
import re
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
TUTORIAL = (CHECKOUT / "docs" / "tutorial_method.md").read_text(encoding="utf-8")
LINES = [
    line
    for block in re.findall(r"```\n(.*?)```", TUTORIAL, flags=re.DOTALL)
    for line in block.splitlines()
]


def test_there_are_lines_and_each_starts_a_known_program():
    assert len(LINES) >= 9
    assert {line.split()[0] for line in LINES} == {"cd", "ctta", "pip", "python"}


def test_the_table_names_the_files_that_are_written(ctta, tmp_path):
    ctta("new-method", "prior_shift")
    for path in re.findall(r"^\| `([^`]+)` \|", TUTORIAL, flags=re.MULTILINE):
        assert (tmp_path / "ctta-prior-shift" / path).is_file(), path


@pytest.fixture
def environment(tmp_path, digits_cache):
    """Variables of an environment that has what this one has, and room for a package of its own."""
    folder = tmp_path / "env"
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    outer = [str(CHECKOUT), sysconfig.get_path("purelib")]
    lines = [f"import site; site.addsitedir({path!r})" for path in outer]
    (site / "outer.pth").write_text("\n".join(lines))
    for name, call in {
        "ctta": "from ctta.cli import main",
        "pip": "from pip._internal.cli.main import main",
    }.items():
        script = folder / "bin" / name
        script.write_text(f"#!{folder}/bin/python\nimport sys\n{call}\nsys.exit(main())\n")
        script.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    return kept | {
        "PATH": f"{folder}/bin:{kept['PATH']}",
        "CTTA_CACHE": str(digits_cache),
        "CTTA_RUNS": str(tmp_path / "runs"),
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.mark.slow
def test_the_lines_run_one_after_the_other(environment, tmp_path):
    folder, said = tmp_path, {}
    for line in LINES:
        program, *arguments = line.split()
        if program == "cd":
            folder = folder / arguments[0]
            continue
        done = subprocess.run(
            line.split(), cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        said[line] = done.stdout
    assert "prior_shift" in said["ctta list method"]
    assert "passed" in said["python -m pytest --quiet"]
    assert "lines hold" in said["ctta check prior_shift"]
    assert "FAILED" not in said["ctta check prior_shift"]
    assert len(list((tmp_path / "runs").glob("*/result.json"))) == 3
    assert (
        str(CHECKOUT)
        in subprocess.run(
            ["python", "-c", "import ctta; print(ctta.__file__)"],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )  # nothing else was tested
