"""The seven scenes of the demo. Each explains and shows what happens, and checks the result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from sandbox.demo.accounts import DevAccount, Execution, OutcomeError, Stage, TrainingJob, expect, wait_for
from sandbox.demo.following import follow, follow_training
from sandbox.demo.screen import Screen
from sandbox.stacks import ROOT

REVIEWS = {
    "A wonderful film with a brilliant cast": "positive",
    "I laughed, I cried, and I would gladly see it again": "positive",
    "The story is a mess and the ending is awful": "negative",
    "A painful disappointment": "negative",
}
"""Reviews and their correct labels."""

_FIRST = {"ngrams": "4", "share": "0.5", "epochs": "2"}
_SECOND = {"ngrams": "5", "share": "1", "epochs": "8"}
_THIRD = {"ngrams": "6", "share": "1", "epochs": "10"}
_QUICK = {"ngrams": "2", "share": "0.1", "epochs": "1"}
_UNREGISTERED = "recommendations"
_BROKEN = ROOT / "examples" / "broken"


class Traffic:
    """Requests to an endpoint, all of which must succeed."""

    def __init__(self, stage: Stage) -> None:
        self.requests = 0
        self._stage = stage

    def send(self) -> None:
        """Send one request; raise OutcomeError if it fails."""
        try:
            self._stage.classify(list(REVIEWS))
        except ClientError as error:
            expected = f"{self._stage.endpoint} to respond during its update"
            raise OutcomeError(f"Expected: {expected}\nActual: {error}") from error
        self.requests += 1


class Story:
    """The scenes in their order. `in_qa` and `in_production` are the expected live models."""

    def __init__(self, screen: Screen, dev: DevAccount, qa: Stage, production: Stage) -> None:
        self.screen = screen
        self.dev = dev
        self.qa = qa
        self.production = production
        self.in_qa: str | None = None
        self.in_production: str | None = None
        self._first_accuracy = 0.0

    @property
    def scenes(self) -> list[tuple[str, Callable[[], None]]]:
        """The titles and functions of the scenes."""
        return [
            ("The first model is promoted to QA automatically", self.first_model),
            ("Promotion to production requires approval", self.first_approval),
            ("A better model is trained", self.better_model),
            ("A model that fails the smoke test is rolled back", self.wrong_answers),
            ("A model that cannot be loaded is rolled back", self.cannot_load),
            ("A model of an unregistered application is not promoted", self.unregistered),
            ("An operator rejects a model", self.rejection),
        ]

    def first_model(self) -> None:
        """Train a model and promote it to QA."""
        words = self.dev.upload_data()
        self.screen.say(
            "In the dev account, a data scientist trains a small model that classifies reviews as positive or "
            f"negative. The training data are {words:,} rated words. The first training job uses only half of them and "
            f"{_FIRST['epochs']} epochs."
        )
        job = self._train(_FIRST)
        self._first_accuracy = job.accuracy
        self.screen.say(
            "A promotion is an execution of a state machine. Below, each line shows a state and its duration. States "
            "without a duration, such as decisions, are shown next to the previous state."
        )
        self._promote_to_qa(job)
        self._request_approval()

    def first_approval(self) -> None:
        """Let the operator decide about the first model."""
        self._decide()

    def better_model(self) -> None:
        """Train a better model and let the operator decide about it."""
        self.screen.say("The second training job uses all words and more epochs.")
        job = self._train(_SECOND)
        expect(
            job.accuracy > self._first_accuracy,
            f"the second model to be more accurate than the first, {self._first_accuracy:.1%}",
            f"{job.accuracy:.1%}",
        )
        self.screen.good(f"The accuracy improved from {self._first_accuracy:.1%} to {job.accuracy:.1%}.")
        self._promote_to_qa(job)
        self._request_approval()
        self._decide()

    def wrong_answers(self) -> None:
        """Show that a model with wrong answers fails the smoke test."""
        self.screen.say(
            "A change of the inference script swaps the two labels. The model can still be trained and loaded, and "
            "the endpoint responds. Only the smoke test detects the error."
        )
        failed = self._fail_in_qa(_BROKEN / "wrong_answers" / "inference.py", "SmokeTestFailed")
        self._check_recovery(failed)

    def cannot_load(self) -> None:
        """Show that a model that cannot be loaded is not deployed."""
        self.screen.say(
            "Now the inference script reads a file that the model does not contain. Training succeeds, but the "
            "endpoint cannot load the model."
        )
        failed = self._fail_in_qa(_BROKEN / "cannot_load" / "inference.py", "DeploymentFailed")
        log = wait_for(lambda: self.qa.error_in_log(failed.started), f"an error in the log of {self.qa.endpoint}")
        self.screen.say(f"The log of {self.qa.endpoint} contains the reason:")
        self.screen.quote(log)
        self._check_recovery(failed)

    def unregistered(self) -> None:
        """Show what becomes of a training job whose tag names an application that is not registered."""
        self.screen.say(
            "Everyone who can train in the dev account can set any tag. The tag of this training job names the "
            f"application {_UNREGISTERED}, which the operators of QA have not registered."
        )
        job = follow_training(self.screen, self.dev, self.dev.start_training(_QUICK, application=_UNREGISTERED))
        reason = follow(self.screen, self.qa, job.name, "Not for promotion").output["reason"]
        self._check_live()
        self.screen.say("Nothing was created. The operators of QA receive an email with the reason:")
        self.screen.quote(reason)

    def rejection(self) -> None:
        """Train a third model and reject it."""
        self.screen.say("A third training job uses longer n-grams and more epochs.")
        self._promote_to_qa(self._train(_THIRD))
        self._request_approval()
        approval = self._read_message()
        self.screen.say(
            "The model passed all checks, but the operator can reject it nevertheless. Here, the demo rejects it."
        )
        self._reject(approval, "Not before the holidays")

    def _train(self, hyperparameters: dict[str, str], inference: Path | None = None) -> TrainingJob:
        name = self.dev.start_training(hyperparameters, *([inference] if inference else []))
        job = follow_training(self.screen, self.dev, name)
        settings = ", ".join(f"{name} {value}" for name, value in job.hyperparameters.items())
        self.screen.good(f"The training job completed ({settings}). The validation accuracy is {job.accuracy:.1%}.")
        return job

    def _promote_to_qa(self, job: TrainingJob) -> None:
        """Show the promotion to QA that the event of the completed training job starts."""
        self.screen.say(
            "The promotion to QA starts automatically, as before."
            if self.in_qa
            else "The training job has the tag model-promotion:application. Therefore, its completion starts "
            "a promotion to QA automatically."
        )
        promotion = self._promoted(self.qa, job.name)
        self.in_qa = promotion["model_name"]
        self._check_live()
        self.screen.good(
            f"{promotion['endpoint']} now serves {self.in_qa}. It passed the smoke test: "
            f"{promotion['smoke_test_invocations']} requests, {promotion['smoke_test_errors']} errors."
        )

    def _request_approval(self) -> None:
        self.screen.say(
            "The promotion in QA starts an execution in production. Production requires approval, so this execution "
            "only requests it."
        )
        follow(self.screen, self.production, str(self.in_qa), "Approval requested")
        self._check_live()
        self._report_unchanged()

    def _read_message(self) -> str:
        """Show the approval request and return the ID of its runbook execution."""
        approval = wait_for(
            lambda: self.production.pending_approval(str(self.in_qa)), f"an approval request for {self.in_qa}"
        )
        self.screen.say(
            "The operators of production receive this approval request. On AWS, its links open the console, where they "
            "approve or reject it."
        )
        self.screen.quote(self.production.approval_message(approval))
        return str(approval["AutomationExecutionId"])

    def _decide(self) -> None:
        approval = self._read_message()
        if not self.screen.is_interactive:
            self.screen.say("The demo does not run in an interactive terminal, so it approves the request itself.")
            self._approve(approval, "Approved by the demo")
        elif self.screen.ask("You are the operator. Promote this model to production?"):
            self._approve(approval, "Approved in the terminal")
        else:
            self._reject(approval, "Rejected in the terminal")

    def _approve(self, approval: str, comment: str) -> None:
        self.production.decide(approval, "Approve", comment)
        promotion = self._promoted(self.production, approval)
        self.in_production = promotion["model_name"]
        self._check_live()
        expect(
            promotion["approval_comment"] == comment,
            f"the promotion record to contain the comment {comment!r}",
            f"{promotion['approval_comment']!r} by {promotion['approved_by']!r}",
        )
        self.screen.good(f"{promotion['endpoint']} now serves {self.in_production}.")
        self.screen.good(
            f"The promotion record contains the approver {promotion['approved_by']} and the comment {comment!r}."
        )
        self._show_classification()

    def _reject(self, approval: str, comment: str) -> None:
        self.production.decide(approval, "Reject", comment)
        reason = follow(self.screen, self.production, approval, "Rejected").output["reason"]
        expect(comment in reason, f"the reason of the rejection to contain the comment {comment!r}", reason)
        self.screen.good(f"The recorded reason is: {reason}")
        self._check_live()
        self._report_unchanged()

    def _report_unchanged(self) -> None:
        endpoint = self.production.endpoint
        self.screen.good(
            f"{endpoint} still serves {self.in_production}."
            if self.in_production
            else f"The endpoint {endpoint} does not exist yet."
        )

    def _promoted(self, stage: Stage, text: str) -> dict[str, Any]:
        """Show the promotion with `text` in its input, and send requests to an existing endpoint meanwhile."""
        traffic = Traffic(stage) if stage.serving() else None
        promotion: dict[str, Any] = follow(
            self.screen, stage, text, "Promoted", *([traffic.send] if traffic else [])
        ).output
        if traffic:
            self.screen.good(f"{stage.endpoint} responded to all {traffic.requests} requests during its update.")
        return promotion

    def _fail_in_qa(self, inference: Path, error: str) -> Execution:
        before = self.qa.classify(list(REVIEWS))
        job = self._train(_SECOND, inference)
        self.screen.say("The promotion to QA starts automatically, as before.")
        traffic = Traffic(self.qa)
        failed = follow(self.screen, self.qa, job.name, "Promotion failed", traffic.send)
        expect(failed.error == error, f"the error {error}", f"{failed.error}: {failed.cause}")
        self._check_live()
        after = self.qa.classify(list(REVIEWS))
        expect(after == before, f"{self.qa.endpoint} to respond as before, {before}", f"{after}")
        self.screen.good(f"{self.qa.endpoint} serves {self.in_qa} and responds as before the promotion.")
        self.screen.good(f"It responded to all {traffic.requests} requests during the promotion.")
        self.screen.say(f"The execution failed with the error {failed.error}:")
        self.screen.quote(failed.cause)
        return failed

    def _check_recovery(self, failed: Execution) -> None:
        self.screen.say("After every failure, another execution checks whether anything must be recovered:")
        follow(self.screen, self.qa, failed.name, "Nothing to recover")

    def _check_live(self) -> None:
        for stage, expected in ((self.qa, self.in_qa), (self.production, self.in_production)):
            actual = stage.serving()
            expect(actual == expected, f"{stage.endpoint} to serve {expected or 'no model'}", actual or "no model")

    def _show_classification(self) -> None:
        self.screen.say(f"{self.production.endpoint} classifies four reviews:")
        results = self.production.classify(list(REVIEWS))
        rows = []
        for (text, correct), (label, score) in zip(REVIEWS.items(), results, strict=True):
            confidence = score if label == "positive" else 1 - score
            rows.append([text, label, f"{confidence:.0%}", "yes" if label == correct else "no"])
        self.screen.table(["Review", "Label", "Confidence", "Correct"], rows)
