"""The six scenes of the demo. Each says what happens, shows it, and checks that it came out as it has to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from sandbox.demo.accounts import Execution, Lab, OutcomeError, Stage, TrainingJob, expect, wait_for
from sandbox.demo.following import follow, follow_training
from sandbox.demo.screen import Screen
from sandbox.stacks import ROOT

REVIEWS = {
    "A wonderful film with a brilliant cast": "positive",
    "I laughed, I cried, and I would gladly see it again": "positive",
    "The story is a mess and the ending is awful": "negative",
    "A painful disappointment": "negative",
}
"""Reviews, and what a person would call them."""

_FIRST = {"ngrams": "4", "share": "0.5", "epochs": "2"}
_SECOND = {"ngrams": "5", "share": "1", "epochs": "8"}
_THIRD = {"ngrams": "6", "share": "1", "epochs": "10"}
_BROKEN = ROOT / "examples" / "broken"


class Visitor:
    """Asks an endpoint again and again, and wants an answer every time."""

    def __init__(self, stage: Stage) -> None:
        self.asked = 0
        self._stage = stage

    def ask(self) -> None:
        try:
            self._stage.answers(list(REVIEWS))
        except ClientError as error:
            endpoint = self._stage.endpoint
            raise OutcomeError(f"Expected: {endpoint} to answer while it changes\nFound:    {error}") from error
        self.asked += 1


class Story:
    """What the people of the demo do; `in_qa` and `in_production` are the models that have to be live there by now."""

    def __init__(self, screen: Screen, lab: Lab, qa: Stage, production: Stage) -> None:
        self.screen = screen
        self.lab = lab
        self.qa = qa
        self.production = production
        self.in_qa: str | None = None
        self.in_production: str | None = None
        self._first_accuracy = 0.0

    @property
    def scenes(self) -> list[tuple[str, Callable[[], None]]]:
        return [
            ("A first model reaches QA by itself", self.first_model),
            ("Production asks a person", self.first_approval),
            ("A better model follows", self.better_model),
            ("A model that answers wrongly is stopped", self.wrong_answers),
            ("A model that cannot load is stopped", self.cannot_load),
            ("A good model is turned down", self.rejection),
        ]

    def first_model(self) -> None:
        words = self.lab.upload_data()
        self.screen.say(
            f"In the dev account, a data scientist has {words:,} words that people rated as positive or negative. A "
            "small classifier learns from them to tell good reviews from bad ones. This first one gets only half of "
            "the words, and little time."
        )
        job = self._train(_FIRST)
        self._first_accuracy = job.accuracy
        self.screen.say(
            "What follows is a promotion. Each line is a step and its seconds; beside it stands what is decided next."
        )
        self._reaches_qa(job)
        self._asks_production()

    def first_approval(self) -> None:
        self._operator_decides()

    def better_model(self) -> None:
        self.screen.say("The data scientist trains again: all the words, more time.")
        job = self._train(_SECOND)
        expect(
            job.accuracy > self._first_accuracy,
            f"the second model to be right about more words than the first, {self._first_accuracy:.1%}",
            f"{job.accuracy:.1%}",
        )
        self.screen.good(f"Better than the first: {self._first_accuracy:.1%} then, {job.accuracy:.1%} now.")
        self._reaches_qa(job)
        self._asks_production()
        self._operator_decides()

    def wrong_answers(self) -> None:
        self.screen.say(
            "Someone changes the script that serves the model, and mixes up the two labels. The model still trains, "
            "loads and answers. Only the smoke test can tell."
        )
        failed = self._stopped_in_qa(_BROKEN / "wrong_answers" / "inference.py", "SmokeTestFailed")
        self._nothing_left_behind(failed)

    def cannot_load(self) -> None:
        self.screen.say("Now the script wants a file that is not in the model. Training does not notice. Serving does.")
        failed = self._stopped_in_qa(_BROKEN / "cannot_load" / "inference.py", "DeploymentFailed")
        log = wait_for(lambda: self.qa.error_in_log(failed.started), f"an error in the log of {self.qa.endpoint}")
        self.screen.say("In the endpoint's log:")
        self.screen.quote(log)
        self._nothing_left_behind(failed)

    def rejection(self) -> None:
        self.screen.say("A third good model comes along.")
        self._reaches_qa(self._train(_THIRD))
        self._asks_production()
        approval = self._read_message()
        self.screen.say("Nothing is wrong with it, but today the operator says no. The demo does it for them.")
        self._reject(approval, "Not before the holidays")

    def _train(self, hyperparameters: dict[str, str], inference: Path | None = None) -> TrainingJob:
        name = self.lab.start_training(hyperparameters, *([inference] if inference else []))
        job = follow_training(self.screen, self.lab, name)
        settings = ", ".join(f"{name} {value}" for name, value in job.hyperparameters.items())
        self.screen.good(f"Trained ({settings}). It is right about {job.accuracy:.1%} of words it has not seen.")
        return job

    def _reaches_qa(self, job: TrainingJob) -> None:
        """The event of the completed job brings its model into QA."""
        self.screen.say(
            "The training job has a tag that says what its model is for. QA hears of it, and starts by itself."
        )
        promotion = self._promoted(self.qa, job.name)
        self.in_qa = promotion["model_name"]
        self._check_live()
        self.screen.good(
            f"{promotion['endpoint']} now serves {self.in_qa}, which passed its smoke test: "
            f"{promotion['smoke_test_invocations']} requests, {promotion['smoke_test_errors']} errors."
        )

    def _asks_production(self) -> None:
        self.screen.say("Production hears of that. There, a person has to approve first, so it only asks.")
        follow(self.screen, self.production, str(self.in_qa), "Approval requested")
        self._check_live()
        self.screen.good(f"{self.production.endpoint} serves {self.in_production or 'nothing'} meanwhile.")

    def _read_message(self) -> str:
        """Show what the operators are asked; the id of the approval."""
        found = wait_for(
            lambda: self.production.waiting_approval(str(self.in_qa)), f"an approval of {self.in_qa} to be waited for"
        )
        self.screen.say(
            "This is what the operators of production read. On AWS they decide in the console, where its links lead."
        )
        self.screen.quote(self.production.approval_message(found))
        return str(found["AutomationExecutionId"])

    def _operator_decides(self) -> None:
        approval = self._read_message()
        if not self.screen.has_person:
            self.screen.say(
                "Nobody sits at a terminal who could be asked, so the demo approves in the operator's name."
            )
            self._approve(approval, "Approved by the demo")
        elif self.screen.ask("You are the operator. May it go into production?"):
            self._approve(approval, "Approved at the terminal")
        else:
            self._reject(approval, "Rejected at the terminal")

    def _approve(self, approval: str, comment: str) -> None:
        self.production.decide(approval, "Approve", comment)
        promotion = self._promoted(self.production, approval)
        self.in_production = promotion["model_name"]
        self._check_live()
        expect(
            promotion["approval_comment"] == comment,
            f"the approval on record with the comment {comment!r}",
            f"{promotion['approval_comment']!r} by {promotion['approved_by']!r}",
        )
        self.screen.good(f"{promotion['endpoint']} now serves {self.in_production}.")
        self.screen.good(f"On record: approved by {promotion['approved_by']}, who wrote {comment!r}.")
        self._show_answers()

    def _reject(self, approval: str, comment: str) -> None:
        self.production.decide(approval, "Reject", comment)
        reason = follow(self.screen, self.production, approval, "Rejected").output["reason"]
        expect(comment in reason, f"the rejection on record with the comment {comment!r}", reason)
        self.screen.good(f"On record: {reason}")
        self._check_live()
        self.screen.good(f"{self.production.endpoint} still serves {self.in_production or 'nothing'}.")

    def _promoted(self, stage: Stage, text: str) -> dict[str, Any]:
        """Show the promotion that has `text` in its input; the endpoint is asked all the while, where there is one."""
        visitor = Visitor(stage) if stage.serving() else None
        promotion: dict[str, Any] = follow(
            self.screen, stage, text, "Promoted", *([visitor.ask] if visitor else [])
        ).output
        if visitor:
            self.screen.good(f"{stage.endpoint} was updated, and answered all of {visitor.asked} requests meanwhile.")
        return promotion

    def _stopped_in_qa(self, inference: Path, error: str) -> Execution:
        before = self.qa.answers(list(REVIEWS))
        job = self._train(_SECOND, inference)
        self.screen.say("QA starts by itself, as before.")
        visitor = Visitor(self.qa)
        failed = follow(self.screen, self.qa, job.name, "Promotion failed", visitor.ask)
        expect(failed.error == error, f"the error {error}", f"{failed.error}: {failed.cause}")
        self._check_live()
        after = self.qa.answers(list(REVIEWS))
        expect(after == before, f"the answers of {self.qa.endpoint} as before, {before}", f"{after}")
        self.screen.good(f"{self.qa.endpoint} is back on {self.in_qa}, and answers as before.")
        self.screen.good(f"It answered all of {visitor.asked} requests meanwhile.")
        self.screen.say(f"The execution failed with {failed.error}, and says why:")
        self.screen.quote(failed.cause)
        return failed

    def _nothing_left_behind(self, failed: Execution) -> None:
        self.screen.say("After each failure, a second execution looks whether anything was left behind:")
        follow(self.screen, self.qa, failed.name, "Nothing to recover")

    def _check_live(self) -> None:
        for stage, expected in ((self.qa, self.in_qa), (self.production, self.in_production)):
            found = stage.serving()
            expect(found == expected, f"{stage.endpoint} to serve {expected or 'nothing'}", found or "nothing")

    def _show_answers(self) -> None:
        self.screen.say(f"Four reviews for {self.production.endpoint}:")
        answers = self.production.answers(list(REVIEWS))
        rows = []
        for (text, meant), (label, score) in zip(REVIEWS.items(), answers, strict=True):
            sure = score if label == "positive" else 1 - score
            rows.append([text, label, f"{sure:.0%} sure", "right" if label == meant else "wrong"])
        self.screen.table(["Review", "Answer", "", ""], rows)
