"""The command line."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from signal import SIGINT
from typing import cast

from ctta import __version__
from ctta.composition import CompositionError, for_each
from ctta.console import one_line, say_on_standard_error
from ctta.online.stopping import RunStoppedError

log = logging.getLogger("ctta")
COMMANDS = {  # each has a module in `ctta.commands`
    "run": ("[key=value ...]", "adapt a source model to a stream; `ctta run --help` has the keys"),
    "prepare": ("[key=value ...]", "build what a method needs of the source data beforehand"),
    "rerun": ("result.json", "run a record again and compare"),
    "stats": ("[run ...]", "means over seeds with intervals, ranks, paired differences"),
    "reproduce": ("list | NAME", "published numbers; one of them run again, with a verdict"),
    "list": ("[group]", "what can be chosen"),
    "data": ("list|download|verify|path", "data sets: licences, download, checksums, places"),
    "runs": ("list|show|diff|gc|retry", "the store of runs: find, compare, run again, clean up"),
    "leaderboard": ("add|check|table|build", "results to publish: entries, checks, tables, a page"),
    "cite": ("result.json ...", "BibTeX for the methods, data sets and models of results"),
    "check": ("method [key=value ...]", "does a method keep the contract, line by line"),
    "new-method": ("name [--folder DIR]", "write a package with a method, its YAML and its tests"),
}
COMPLETION = {"-sc", "--shell-completion"}
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
EXIT_STOPPED = 75  # EX_TEMPFAIL of sysexits.h: a launcher starts the same command again


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the console script; exits with a status that is zero only on success."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if COMPLETION & set(arguments):
        sys.exit(complete([a for a in arguments if a not in COMMANDS]))
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(usage())
        sys.exit(0 if arguments else EXIT_USAGE)
    if arguments[0] == "--version":
        sys.stdout.write(f"ctta {__version__}\n")
        sys.exit(0)
    name = arguments[0]
    if name not in COMMANDS:
        fail(f"expected a command ({', '.join(COMMANDS)}), got {name!r}; type 'ctta --help'")
    log.handlers = []
    say_on_standard_error()
    try:
        status = command(name)(arguments[1:])
    except BrokenPipeError:  # as of `ctta list | head -1`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        sys.exit(EXIT_FAILED)
    except CompositionError as error:
        fail(str(error))
    except (ValueError, OSError) as error:
        fail(one_line(error))
    except KeyboardInterrupt:
        log.error("interrupted; what is finished is kept. Type the same command to go on.")
        sys.exit(EXIT_INTERRUPTED)
    except RunStoppedError as stopped:
        log.error("%s. Type the same command to go on.", stopped)
        sys.exit(EXIT_INTERRUPTED if stopped.signal == SIGINT else EXIT_STOPPED)
    sys.exit(status)


def usage() -> str:
    """What `ctta --help` prints."""
    forms = [f"{name} {form}" for name, (form, _) in COMMANDS.items()]
    width = max(map(len, forms))
    lines = [
        f"  ctta {form:<{width}}  {text}"
        for form, (_, text) in zip(forms, COMMANDS.values(), strict=True)
    ]
    return "\n".join(
        [
            "ctta: continual test-time adaptation, measured so that others can repeat it",
            "",
            *lines,
            "  ctta --version",
            "",
            'Completion in bash: eval "$(ctta -sc install=bash)"',
            "",
        ]
    )


def command(name: str) -> Callable[[Sequence[str]], int]:
    """What executes a command; its module is loaded now and not before."""
    module = importlib.import_module(f"ctta.commands.{name.replace('-', '_')}")
    return cast(Callable[[Sequence[str]], int], module.main)


def fail(message: str) -> None:
    """Write one line to standard error and exit."""
    sys.stderr.write(f"ctta: {message}\n")
    sys.exit(EXIT_USAGE)


# --- completion --------------------------------------------------------------------------------


def complete(arguments: Sequence[str]) -> int:
    """`ctta -sc install=bash`, and the words that the script it prints asks for.

    Hydra knows programs without commands: the command is taken out of the line that it completes.
    """
    line = os.environ.get("COMP_LINE")
    if line is not None:
        command, space, rest = line.partition(" ")[2].lstrip().partition(" ")
        if not space:
            sys.stdout.write(" ".join(COMMANDS) + "\n")
        if command not in ("run", "prepare", "check") or not space:
            return 0  # the shell completes names of files
        os.environ["COMP_LINE"] = f"ctta {rest}"
    log.addHandler(logging.NullHandler())  # what plug-ins lack is not said at every key
    for_each("ctta", arguments, lambda _: None)
    return 0
