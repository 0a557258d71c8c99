"""The promotion record: the data of one promotion, from its start to the history.

The state machine keeps it in the variable `promotion` and passes it to functions under that name. The promotion table
stores it as JSON, and it is the detail of the events that a stage publishes. Each key exists as soon as the first state
has written it.

Each key is annotated with its meaning, the states that write it, and its readers: states (their expressions, or the
functions that they call), modules of the functions, and rules of template.yaml that match it. A
test compares writers and readers with the definition, the template and the code; docs/architecture.md lists them.
"""

from __future__ import annotations

from promotion.record.candidate_keys import CandidateKeys
from promotion.record.deployment_keys import DeploymentKeys


class PromotionRecord(CandidateKeys, DeploymentKeys, total=False):
    """One promotion, successful or not. Old records may lack keys that were added later."""
