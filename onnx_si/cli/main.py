"""The command line: stdout carries data, stderr carries narration, the exit code says what happened."""

import argparse
import contextlib
import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from onnx_si import __version__
from onnx_si.cli.options import Parser
from onnx_si.cli.say import say
from onnx_si.cli.signals import INTERRUPTED, interrupt, leave, on_end
from onnx_si.errors import OnnxSIError, UnsupportedModel, UnsupportedOp, UsageError
from onnx_si.ground.budget import budget
from onnx_si.ground.guard import guarded
from onnx_si.ground.paths import NOTHING, what_is_at
from onnx_si.ground.terminal import shown, shown_line
from onnx_si.ground.wall import ceiling, starved
from onnx_si.ground.words import did_you_mean

VERBS = ("inspect", "saliency", "simulate", "audit", "replay")
_ASKED = ("--help", "--version")
INTERNAL_ERROR = 70  # sysexits.h: the program itself is wrong, not what it was given
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OUT_OF_MEMORY = UnsupportedModel.exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; default those of the process.

    Returns
    -------
    int
        The exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with _quiet_libraries(), on_end(interrupt):
            code = _dispatch(arguments)
            sys.stdout.flush()
            return code
    except OnnxSIError as error:
        _complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has gone; python must not try to flush to it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # python must not try again
            say(f"error: what is written to stdout has no room there ({error.strerror})")
            return UsageError.exit_code
        if starved(error):
            why = f" ({error})" if str(error) else ""
            say(f"error: out of memory{why}; try a smaller image or model, or allow a run more (--memory)")
            return OUT_OF_MEMORY
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
        say(f"error: a fault of onnx-si itself, please report it ({where}: {error})")
        return INTERNAL_ERROR


def _dispatch(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        print(f"onnx-si {__version__}")
        return 0
    verb = arguments[0] if arguments and arguments[0] in VERBS else None
    if arguments[:1] == ["test"] and what_is_at("test") == NOTHING:
        raise UsageError("a test has no verb: onnx-si MODEL IMAGE")
    if arguments and verb is None and what_is_at(arguments[0]) == NOTHING:
        near = did_you_mean(arguments[0], VERBS if arguments[0].startswith("-") else (*VERBS, *_ASKED))
        if near:
            raise UsageError(f"'{arguments[0]}' is no verb, and no file{near}")
    if verb is None and len(arguments) > 1 and arguments[1] in VERBS and what_is_at(arguments[1]) == NOTHING:
        raise UsageError(f"'{arguments[1]}' comes first: onnx-si {arguments[1]} {shown(arguments[0])}")
    with guarded(UsageError, "the command line", "see onnx-si --help"):
        parsed = _parser(verb).parse(arguments if verb is None else arguments[1:])
    with budget(parsed.memory):
        with on_end(leave):
            run = _runner(verb)
        with ceiling():
            if verb != "audit" and parsed.isolate:
                from onnx_si.runtime.isolation import isolated, try_out

                isolated(try_out, parsed.model, dict(parsed.dims or ()), what=parsed.model)
            return run(parsed)


def _parser(verb: str | None) -> Parser:
    """The parser of a verb, or of the main job."""
    if verb == "audit":
        from onnx_si.cli.audit_verb import audit_parser

        return audit_parser()
    if verb == "replay":
        from onnx_si.cli.replay_verb import replay_parser

        return replay_parser()
    from onnx_si.cli import arguments as parsers

    match verb:
        case "inspect":
            return parsers.inspect_parser()
        case "saliency":
            return parsers.saliency_parser()
        case "simulate":
            return parsers.simulate_parser()
    return parsers.test_parser(__version__)


def _runner(verb: str | None) -> Callable[[argparse.Namespace], int]:
    """What does it; imported when the options are known to be right, as it takes long."""
    if verb == "audit":
        from onnx_si.cli.audit_verb import audit

        return audit
    if verb == "replay":
        from onnx_si.cli.replay_verb import run_replay

        return run_replay
    from onnx_si.cli import verbs

    match verb:
        case "inspect":
            return verbs.inspect_verb
        case "saliency":
            return verbs.saliency_verb
        case "simulate":
            return verbs.simulate_verb
    return verbs.test_verb


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Warnings of libraries are for their developers; python's own -W shows them."""
    with warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield


def _complain(error: OnnxSIError) -> None:
    """One line, or one more for each node that stands in the way."""
    findings = error.findings if isinstance(error, UnsupportedOp) else ()
    say(f"error: {str(error).splitlines()[0] if findings else error}")
    for finding in findings:
        print(f"  {shown_line(finding)}", file=sys.stderr)
