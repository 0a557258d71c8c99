"""The demo from its beginning to its end: set up, six scenes, and what is live then."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from embedded_aws.aws import EmbeddedAws
from embedded_aws.kernel import accounts
from sandbox import stacks
from sandbox.demo import live
from sandbox.demo.accounts import Lab, OutcomeError, Stage
from sandbox.demo.scenes import Story
from sandbox.demo.screen import Screen


def play(screen: Screen, began: float) -> int:
    """The exit code: 0 if everything came out as it has to. `began` is when it all started, on the monotonic clock."""
    with tempfile.TemporaryDirectory() as directory, EmbeddedAws(Path(directory)) as aws:
        os.environ["AWS_CONFIG_FILE"] = str(aws.config_file)
        dev, qa, production = accounts.ACCOUNTS.values()
        screen.say(
            "An AWS with three accounts now lives in this one process. Nothing leaves this machine. Models are trained "
            f"in dev ({dev}), prove themselves in QA ({qa}), and serve in production ({production}). In QA and "
            "production, an endpoint answers requests with the model that is live there."
        )
        screen.say("The project is deployed into the accounts, by the same templates as on the real AWS:")
        with screen.busy("Deploying"):
            stacks.deploy(screen.note)
        times = [("Setting up", time.monotonic() - began)]
        what = ""
        try:
            story = Story(screen, Lab("dev"), Stage("qa"), Stage("production"))
            for number, (title, scene) in enumerate(story.scenes, start=1):
                what = f"{number}. {title}"
                screen.title(what)
                scene_began = time.monotonic()
                scene()
                times.append((what, time.monotonic() - scene_began))
            what = "What is live now"
            screen.title(what)
            live.show(screen, [story.qa, story.production])
        except OutcomeError as error:
            screen.failed(f'"{what}" did not come out as it should.\n{error}')
            return 1
        screen.title("How long it took")
        screen.table([], [[f"{seconds:6.1f} s", what] for what, seconds in times])
        screen.say("On the real AWS it takes longer: an endpoint alone needs minutes to change.")
        screen.say("Next, try it yourself: `make local` keeps such an AWS running, and says how to reach it.")
        return 0
