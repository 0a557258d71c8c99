"""The effects that each role of a stage can have, each with its reason; any other is a finding."""

_COPIES = "It creates the objects of the plan. It can neither overwrite nor delete one."
_DEPLOYS = "It deploys the candidate, if its execution holds the lock."
_RESTORES = "It restores the previous config, if its execution holds the lock."
_TAGS = "It tags what it creates. The tags name the digest and the execution."
_RECOVERS = "It starts recoveries. A holder could start a promotion, which requires an approval like any other."

EFFECTS: dict[str, dict[str, str]] = {
    "update an endpoint to a config of the stage": {
        "UpdateEndpointFunctionRole": _DEPLOYS,
        "RollBackEndpointFunctionRole": _RESTORES,
    },
    "update an endpoint to any config": {
        "RollBackEndpointFunctionRole": "The endpoint may have had a config of others before the first promotion.",
    },
    "create an endpoint": {"UpdateEndpointFunctionRole": _DEPLOYS},
    "delete an endpoint": {"RollBackEndpointFunctionRole": "It removes an endpoint that the promotion has created."},
    "scale an endpoint": {
        "ApplyAutoscalingFunctionRole": "Application Auto Scaling requires it for a scalable target.",
        "RollBackEndpointFunctionRole": "Application Auto Scaling requires it for a scalable target.",
    },
    "change an endpoint of others": {},
    "create an endpoint config": {
        "CreateEndpointConfigFunctionRole": "It creates the config of the candidate. Another role deploys it.",
    },
    "create a model": {"CreateModelFunctionRole": "It creates the model of the candidate."},
    "pass the serving role": {
        "CreateModelFunctionRole": "A model has a role of the stage, and no other one.",
        "CreateEndpointConfigFunctionRole": "An endpoint that hosts inference components has that role, too.",
    },
    "tag a model": {
        "CreateModelFunctionRole": _TAGS,
        "ResolveImagesFunctionRole": "It tags the model with the digests of the images that its endpoint runs.",
    },
    "tag an endpoint config": {"CreateEndpointConfigFunctionRole": _TAGS},
    "write a new artifact": {"CopyArtifactsFunctionRole": _COPIES},
    "overwrite an artifact": {},
    "delete an artifact": {
        "RemoveSupersededModelsFunctionRole": "It removes superseded artifacts, with a delete marker.",
    },
    "delete a version of an artifact": {},
    "write a copy to incoming/": {},
    "read a copy in incoming/": {
        "CopyArtifactsFunctionRole": "It copies on what the reader role has copied, if it has the planned content.",
    },
    "write a smoke test": {
        "PlanCopyFunctionRole": "It writes the suite of the settings. Its name is a hash of its content.",
        "CopyArtifactsFunctionRole": _COPIES,
    },
    "write a manifest": {"PlanCopyFunctionRole": "The manifest lists what to copy."},
    "write a response": {"the serving role": "Asynchronous responses and captured data of the containers."},
    "push an image": {"CopyImagesFunctionRole": "It copies images, if ImageCopy is on. Their tags are immutable."},
    "write settings": {"Operator": "Settings are the operators' part. An approval covers their effect."},
    "write the record of a promotion": {"PromotionRole": "Only the state machine records promotions."},
    "write the live record": {"PromotionRole": "Only the state machine records promotions."},
    "update the live record": {
        "PromotionRole": "Only the state machine records promotions.",
        "WatchPromotionsFunctionRole": "It marks a record as published. No endpoint is rolled back to it.",
    },
    "write a lock with its journal": {
        "AcquireEndpointLockFunctionRole": "It acquires the lock, if nobody holds it.",
        "InspectEndpointFunctionRole": "It writes the state to restore into the lock, if its execution holds it.",
        "PromotionRole": "It releases the lock, and takes over that of an interrupted execution.",
    },
    "write an approval request": {"RequestApprovalFunctionRole": "The request names the automation that waits for it."},
    "claim resources or their removal": {
        "PlanCopyFunctionRole": "A claim keeps resources. It deploys nothing.",
        "ResolveCandidateFunctionRole": "A claim keeps resources. It deploys nothing.",
        "RemoveSupersededModelsFunctionRole": "It claims a removal, so that promotions wait.",
    },
    "start the state machine": {
        "StartRole": "The rules start promotions with the events of the upstream account.",
        "RunbookRole": "The runbook starts the approved promotion.",
        "AcquireEndpointLockFunctionRole": _RECOVERS,
        "InspectEndpointFunctionRole": "It repeats a promotion whose settings have changed, with the same input.",
        "WatchPromotionsFunctionRole": _RECOVERS,
        "Operator": "Operators start promotions. A stage with approval requests one for each.",
    },
    "stop a promotion": {
        "RunbookRole": "Canceling the runbook stops its promotion, which is rolled back.",
        "Operator": "The promotion is rolled back.",
    },
    "redrive a promotion": {},
    "change the state machine": {},
    "invoke a function": {"PromotionRole": "The state machine invokes the functions."},
    "change the code of a function": {},
    "start the approval runbook": {"RequestApprovalFunctionRole": "It requests the approval."},
    "approve": {"Approver": "Only if the stage's parameter Approvers names the person, too."},
    "cancel an approval": {
        "RequestApprovalFunctionRole": "A newer candidate replaces an older one.",
        "WatchPromotionsFunctionRole": "It repeats that, if the cancellation failed.",
    },
    "change the approval runbook": {},
    "publish an event on the stage's bus": {
        "PromotionRole": "It publishes the result of a promotion.",
        "RequestApprovalFunctionRole": "It publishes that an approval is requested.",
        "WatchPromotionsFunctionRole": "It publishes missing results, approval requests and differences.",
    },
    "publish a notification": {"NotifyOperatorsFunctionRole": "It sends all notifications of the stage."},
    "change the alarms of an endpoint": {
        "CreateAlarmsFunctionRole": "It creates the two alarms of the endpoint. A deployment can be guarded by them.",
    },
    "change the policy of a role": {},
    "deploy the stack": {
        "Platform": "Deployments change code and policies. They are made by CloudFormation with the deployment role.",
    },
}
