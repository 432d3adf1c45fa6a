"""Write the declared lower bounds of the run-time and test dependencies as exact requirements."""

import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
for requirement in project["dependencies"] + project["optional-dependencies"]["test"]:
    sys.stdout.write(requirement.replace(">=", "==") + "\n")
