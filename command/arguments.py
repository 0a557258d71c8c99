"""The arguments of the command: verbs, options and their help."""

from __future__ import annotations

import argparse
import re
from typing import Any, NoReturn

from command.errors import WRONG_USE
from promotion.aws.input_checks import did_you_mean
from promotion.source.source_names import SOURCES

KINDS = {kind.replace("_", "-"): kind for kind in SOURCES}
"""The kinds of source as arguments, and as keys of an input."""


class _Parser(argparse.ArgumentParser):
    """A parser that suggests the most similar verb, choice or option."""

    def error(self, message: str) -> NoReturn:
        if choice := re.fullmatch(r".*invalid choice: '(.*)' \(choose from (.*)\)", message):
            known = re.findall(r"[\w-]+", choice[2])
            message = f"there is no {choice[1]}{did_you_mean(choice[1], known)}; choose from {', '.join(known)}"
        elif unknown := re.fullmatch(r"unrecognized arguments: (--[\w-]+)?.*", message):
            message += did_you_mean(unknown[1] or "", self._options())
        self.exit(WRONG_USE, f"{self.prog}: {message}. `{self.prog} --help` explains it.\n")

    def _options(self) -> set[str]:
        """Return the options of this parser and of its verbs."""
        parsers: list[argparse.ArgumentParser] = [self]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                parsers += action.choices.values()
        return {option for each in parsers for action in each._actions for option in action.option_strings}


def parser() -> argparse.ArgumentParser:
    """Return the parser; the attribute `verb` of its result is the name of the verb."""
    common = _Parser(add_help=False)
    group = common.add_argument_group("where, and how to print")
    group.add_argument("--stage", help="name of the stage; by default, the only one of the account")
    group.add_argument("--profile", help="AWS profile; by default, AWS_PROFILE or the default credentials")
    group.add_argument("--region", help="AWS Region; by default, that of the profile")
    group.add_argument("--json", action="store_true", help="print JSON for scripts")

    whole = _Parser(
        prog="model-promotion",
        description="Check smoke tests, and see and do what a stage of Model Promotion does.",
        epilog="Exit codes: 0 done, 1 negative answer (failed or rejected), 2 wrong use, 3 AWS error, 130 interrupted.",
    )
    verbs = whole.add_subparsers(dest="verb", required=True, metavar="VERB", parser_class=_Parser)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, parents=[common], help=text, description=f"{text[0].upper()}{text[1:]}.")

    check = add("check", "check a smoke test, and whether a model passes it")
    check.add_argument("file", help="JSON file of the smoke test")
    target = check.add_mutually_exclusive_group()
    target.add_argument("--endpoint", help="name of a SageMaker endpoint that must pass it")
    target.add_argument(
        "--container", metavar="URL", help="address of a local container, such as http://localhost:8080"
    )

    status = add("status", "show what each application serves, and what is under way")
    _add_applications(status)
    status.add_argument("--watch", action="store_true", help="repeat until you press Ctrl-C")
    status.add_argument("--interval", type=float, default=10, metavar="SECONDS", help="of --watch (10)")

    preview = add("preview", "report what a promotion or a rollback would do, and change nothing")
    preview.add_argument("kind", choices=[*KINDS, "undo"], help="kind of source, or undo for a rollback")
    preview.add_argument("name", help="name of the source, ARN of the model package, or application to roll back")
    _add_source_options(preview)
    preview.add_argument("--to", metavar="MODEL", help="model to roll back to")

    promote = add("promote", "promote a source into the stage")
    promote.add_argument("kind", choices=list(KINDS), help="kind of source")
    promote.add_argument("name", help="name of the source in the upstream account, or ARN of the model package")
    _add_source_options(promote)
    _add_waiting(promote)

    for name, text in (("approve", "approve the pending promotion"), ("reject", "reject the pending promotion")):
        decision = add(name, f"{text} of an application")
        decision.add_argument("application", help="name of the application or of its endpoint")
        decision.add_argument("--comment", default="", help="why; it is recorded")
        decision.add_argument("--id", help="ID of the approval, if several are pending")
        decision.add_argument("--yes", action="store_true", help="do not ask for confirmation")

    undo = add("undo", "roll the endpoint of an application back to an earlier model")
    undo.add_argument("application", help="name of the application or of its endpoint")
    undo.add_argument("--to", metavar="MODEL", help="model to roll back to; by default, the last good one")
    undo.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    _add_waiting(undo)

    history = add("history", "list the promotions of an application, newest first")
    history.add_argument("application", help="name of the application or of its endpoint")
    history.add_argument("--limit", type=_positive, default=20, metavar="NUMBER", help="number of promotions (20)")

    _add_applications(add("live", "list the live model of each application, and who approved it"))
    return whole


def _add_applications(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("applications", nargs="*", metavar="application", help="only these applications")


def _add_source_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--application", help="application, if the source has no tag model-promotion:application")


def _add_waiting(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--no-wait", action="store_true", help="do not wait for the end of the execution")


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def source_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the input of an execution for the source in the arguments."""
    given = {KINDS[arguments.kind]: arguments.name}
    return given | ({"application": arguments.application} if arguments.application else {})
