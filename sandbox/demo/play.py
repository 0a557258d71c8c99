"""The course of the demo: setup, seven scenes, and the models that are live at the end."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel import accounts
from sandbox import busy, stacks
from sandbox.demo import live
from sandbox.demo.accounts import APPLICATION, DevAccount, OutcomeError, Stage, TooSlowError
from sandbox.demo.scenes import Story
from sandbox.demo.screen import Screen


def play(screen: Screen, began: float) -> int:
    """Run the demo and return the exit code, which is 0 if all results are as expected.

    `began` is the start time on the monotonic clock.
    """
    with tempfile.TemporaryDirectory() as directory, EmbeddedAws(Path(directory)) as aws:
        os.environ["AWS_CONFIG_FILE"] = str(aws.config_file)
        return guarded(screen, lambda: _play(screen, began))


def guarded(screen: Screen, run: Callable[[], int]) -> int:
    """Run the demo, and say that it stops, or that this machine is too busy for it."""
    try:
        return run()
    except (KeyboardInterrupt, EOFError):
        screen.say("Stopping…")
        raise
    except busy.ERRORS as error:
        screen.failed(busy.text(error))
        return 1


def _play(screen: Screen, began: float) -> int:
    dev, qa, production = accounts.ACCOUNTS.values()
    screen.say(
        "The embedded AWS has three accounts and runs on this machine only. Models are trained in the dev account "
        f"({dev}), tested in the QA account ({qa}) and used in the production account ({production}). QA and "
        "production each have an endpoint that serves the live model."
    )
    screen.say("The stacks are deployed from the same templates as on AWS:")
    with screen.busy("Deploying"):
        stacks.deploy(screen.note)
    screen.say(f"The operators of QA and production register the application {APPLICATION}. Nothing else is promoted.")
    with screen.busy("Registering"):
        for stage, account in (("qa", qa), ("production", production)):
            stacks.register(APPLICATION, stage, account)
    times = [("Setup", time.monotonic() - began)]
    title = ""
    try:
        story = Story(screen, DevAccount("dev"), Stage("qa"), Stage("production"))
        for number, (name, scene) in enumerate(story.scenes, start=1):
            title = f"{number}. {name}"
            screen.title(title)
            scene_began = time.monotonic()
            scene()
            times.append((title, time.monotonic() - scene_began))
        title = "Live models"
        screen.title(title)
        live.show(screen, [story.qa, story.production])
    except TooSlowError as error:
        screen.failed(f"{title}: the demo stopped, because it takes too long. Is this machine busy?\n{error}")
        return 1
    except OutcomeError as error:
        screen.failed(f"{title}: the demo failed because of an unexpected result.\n{error}")
        return 1
    screen.title("Duration")
    screen.table([], [[f"{seconds:6.1f} s", title] for title, seconds in times])
    screen.say("On AWS, a promotion takes longer: the update of an endpoint alone takes several minutes.")
    screen.say("To try it yourself, run `make local`. It starts the embedded AWS and shows how to connect to it.")
    return 0
