"""Which sources are promoted, and which are refused with which sentence. `make docs` writes it to docs/promoting.md."""

from __future__ import annotations

import dataclasses

from tests.support.toolkits import PACKAGES


@dataclasses.dataclass(frozen=True)
class Row:
    """A kind of source, what happens to it, and the tests that show it.

    `result` is "promoted" with an optional detail, "nothing starts", or what a message of the product says, with … for
    its values. `tests` are the names of test functions. `loaded` is what loads the model in them, or why no toolkit
    does.
    """

    source: str
    result: str
    tests: tuple[str, ...]
    loaded: str = ""


_CONTAINERS, _PYTORCH, _MXNET, _HUGGING_FACE = (
    f"`{PACKAGES[name]}`" for name in ("containers", "pytorch", "mxnet", "huggingface")
)
_LOADED = "test_the_toolkit_of_the_image_imports_the_code_of_the_model"
_EQUAL = "test_a_model_equals_that_of_the_sdk"
_OWN = "the image is yours"
_ANY = "independent of the image"
_NO_TOOLKIT = "the code of this container is in no package registry"

TRAINING_JOBS = (
    Row(
        "scikit-learn, SDK 2",
        "promoted, with its code on S3",
        (_LOADED, _EQUAL, "test_a_completed_training_job_reaches_qa_by_its_event"),
        _CONTAINERS,
    ),
    Row(
        "scikit-learn, SDK 2, with network isolation",
        "promoted, with its code in the archive",
        (_LOADED, _EQUAL, "test_an_isolated_job_serves_its_script_from_the_archive"),
        _CONTAINERS,
    ),
    Row(
        "XGBoost, SDK 2, with and without network isolation",
        "promoted, like scikit-learn",
        (_LOADED, _EQUAL, "test_a_job_of_another_framework_serves_its_script"),
        _CONTAINERS,
    ),
    Row(
        "PyTorch, SDK 2, with and without network isolation",
        "promoted, with its code in the archive",
        (_LOADED, _EQUAL, "test_a_pytorch_job_serves_its_script_from_the_archive"),
        _PYTORCH,
    ),
    Row(
        "PyTorch before 1.2 and MXNet before 1.4, SDK 2", "promoted, like scikit-learn", (_LOADED, _EQUAL), _CONTAINERS
    ),
    Row(
        "MXNet, SDK 2, with and without network isolation",
        "promoted, with its code in the archive",
        (_LOADED, _EQUAL, "test_a_job_of_another_framework_serves_its_script"),
        _MXNET,
    ),
    Row(
        "Hugging Face, SDK 2, with and without network isolation",
        "promoted, with the code that the training has written into the model",
        (_LOADED, _EQUAL, "test_a_hugging_face_job_serves_the_code_that_it_has_written"),
        _HUGGING_FACE,
    ),
    Row("TensorFlow, SDK 2, with and without network isolation", "promoted, without code", (_EQUAL,), _NO_TOOLKIT),
    Row(
        "your own image, SDK 2",
        "promoted, without an environment",
        (_EQUAL, "test_a_job_with_an_own_image_gets_no_environment"),
        _OWN,
    ),
    Row("a built-in algorithm", "promoted, without an environment", (_EQUAL,), "its code is not published"),
    Row(
        "scikit-learn, PyTorch, Hugging Face, `ModelTrainer` of SDK 3",
        "promoted, with `inference.py` of its code in the archive",
        (_LOADED, "test_a_job_of_model_trainer_serves_its_inference_script"),
        f"{_CONTAINERS}, {_PYTORCH}, {_HUGGING_FACE}",
    ),
    Row(
        "the same with network isolation; XGBoost and MXNet, SDK 3",
        "promoted, with `inference.py` of its code in the archive",
        (_LOADED, "test_a_job_of_model_trainer_serves_its_inference_script"),
        f"{_CONTAINERS}, {_PYTORCH}, {_MXNET}, {_HUGGING_FACE}",
    ),
    Row(
        "your own image, SDK 3",
        "promoted, without an environment",
        ("test_a_job_of_model_trainer_with_an_own_image_has_no_environment",),
        _OWN,
    ),
    Row(
        "SDK 3, whose code has no `inference.py`",
        'refused: "The code in … has no file …, which serves the model."',
        ("test_code_without_an_inference_script_is_refused_while_planning",),
    ),
    Row(
        "another program of the code, by tag",
        "promoted",
        (_LOADED, "test_another_program_of_the_training_code_can_serve"),
        f"{_CONTAINERS}, {_PYTORCH}, {_MXNET}, {_HUGGING_FACE}",
    ),
    Row("other code, by tag", "promoted", ("test_the_code_of_the_tag_replaces_the_training_code",), _HUGGING_FACE),
    Row("other code, by setting", "promoted", ("test_the_code_of_the_settings_replaces_the_training_code",), _PYTORCH),
    Row(
        "other code for TensorFlow or your own image",
        "promoted, with the code in the archive",
        (
            "test_the_code_of_tensorflow_is_added_without_a_program",
            "test_other_code_and_its_program_replace_the_training_code",
        ),
        _NO_TOOLKIT,
    ),
    Row(
        "a model that is not compressed",
        "promoted, with the code as objects",
        ("test_an_uncompressed_model_gets_the_code_as_objects", "test_a_training_job"),
        _PYTORCH,
    ),
    Row(
        "an archive of several gzip members, or that is not gzip",
        'refused: "consists of several gzip members", "is not a gzip file"',
        (
            "test_an_archive_that_cannot_be_spliced_is_refused_while_planning",
            "test_what_is_not_one_gzip_member_with_a_tar_file_is_refused_by_name",
        ),
    ),
    Row(
        "an AWS image that only trains, without a tag or setting for another one",
        'refused: "The training job … used a training image."',
        ("test_an_aws_image_that_only_trains_is_refused_with_the_image_that_serves",),
    ),
    Row(
        "output without a key of its own (`aws/s3`)",
        "promoted, through `incoming/`",
        ("test_a_training_job_without_a_key_of_its_own_reaches_qa",),
        _ANY,
    ),
    Row(
        "output without a key of its own, in a stage with `IncomingCopies=false`",
        'refused: "IncomingCopies"',
        ("test_a_stage_can_refuse_incoming_copies_and_says_what_to_configure",),
    ),
    Row(
        "output with a key that permits the stage to decrypt",
        "promoted, copied directly",
        ("test_an_object_that_the_stage_can_decrypt_does_not_go_through_incoming",),
        _ANY,
    ),
    Row(
        "output with a key that denies the stage",
        "promoted, through `incoming/`",
        ("test_an_object_with_a_key_that_denies_the_stage_goes_through_incoming",),
        _ANY,
    ),
    Row(
        "a job that failed",
        'refused: "Only a Completed training job can be promoted."',
        ("test_a_job_that_failed_is_refused_with_its_reason",),
    ),
    Row("a job without an application tag", "nothing starts", ("test_a_job_without_the_tag_is_not_for_promotion",)),
)

OTHERS = (
    Row(
        "a tuning job of SDK 2",
        "promoted: its best training job",
        (
            "test_a_tuning_job_stands_for_its_best_training_job",
            "test_a_completed_tuning_job_is_promoted_but_not_its_training_jobs",
        ),
        _CONTAINERS,
    ),
    Row(
        "a tuning job of SDK 3 (`HyperparameterTuner`)",
        "promoted: its best training job, with `inference.py` of its code in the archive",
        (_LOADED, "test_a_job_of_a_tuner_of_version_3_serves_inference_py_and_not_its_training_script"),
        f"{_CONTAINERS}, {_PYTORCH}, {_MXNET}, {_HUGGING_FACE}",
    ),
    Row(
        "a tuning job without a best training job",
        'refused: "none of its jobs reported the objective metric"',
        ("test_a_tuning_job_without_a_best_training_job_is_refused",),
    ),
    Row(
        "an AutoML job, also of Canvas",
        "promoted by a manual input: its best candidate",
        (
            "test_the_best_candidate_of_an_automl_job_is_promoted_by_an_input",
            "test_an_automl_job_stands_for_all_containers_of_its_best_candidate",
        ),
        "the code of its containers is not published",
    ),
    Row(
        "an AutoML job without a best candidate",
        'refused: "has no best candidate with inference containers"',
        ("test_a_job_without_a_candidate_that_serves_is_refused",),
    ),
    Row(
        "a version of a model package group, approved",
        "promoted",
        ("test_the_approved_package_is_promoted_rather_than_the_newest", "test_a_model_package"),
        _ANY,
    ),
    Row(
        "a version whose life cycle is approved (`ModelLifeCycle`)",
        "promoted, if the settings name the stage",
        ("test_the_life_cycle_of_a_package_approves_it_for_the_stage_that_names_it",),
        _ANY,
    ),
    Row(
        "a package without a group",
        "promoted by a manual input",
        ("test_a_package_is_promoted_to_production_with_an_approval_for_its_arn",),
        _ANY,
    ),
    Row(
        "a version that is rejected or pending",
        'refused: "has the approval status …. Approve the model package in its account first."',
        ("test_a_manual_promotion_of_a_rejected_package_is_refused",),
    ),
    Row(
        "an edit of the metadata of an approved version",
        "nothing starts",
        ("test_an_edit_of_the_metadata_of_an_approved_package_starts_nothing",),
    ),
    Row(
        "a version whose artifact was overwritten after the registration",
        'refused: "has changed since … was registered"',
        ("test_an_artifact_overwritten_after_registration_is_refused",),
    ),
    Row(
        "a model with one container, a pipeline, or containers that are called directly",
        "promoted",
        ("test_a_model",),
        _ANY,
    ),
    Row(
        "a model with several models (`MultiModel`)",
        "promoted",
        ("test_a_model", "test_one_of_many_models_is_smoke_tested_by_its_name"),
        _ANY,
    ),
    Row(
        "a model that refers to a package",
        "promoted",
        ("test_a_model_from_a_package_does_not_refer_to_the_package",),
        _ANY,
    ),
    Row(
        "a model with a field that this version does not know",
        'refused: "which this version of Model Promotion does not support"',
        ("test_an_unknown_field_of_a_model_stops_the_promotion_with_its_name",),
    ),
    Row(
        "a model of a hub, a manifest",
        "refused with the reason",
        ("test_a_field_that_cannot_be_copied_is_refused_with_the_reason",),
    ),
    Row(
        "a gated model with artifacts in a bucket of your own",
        "promoted, if the settings of the stage accept its license (`AcceptEula`)",
        ("test_a_model", "test_the_license_of_a_gated_model_is_accepted_for_each_stage"),
        _ANY,
    ),
    Row(
        "the same without `AcceptEula`",
        'refused: "set AcceptEula to true in the settings"',
        ("test_the_license_of_a_gated_model_is_accepted_for_each_stage",),
    ),
    Row(
        "a gated model in the bucket of JumpStart",
        'refused: "in the bucket of the gated models of JumpStart"',
        ("test_an_artifact_in_the_bucket_of_gated_models_is_refused_with_the_reason",),
    ),
    Row(
        "artifacts in a bucket of another account, which `UpstreamBuckets` names as the owner",
        "promoted",
        ("test_a_bucket_of_a_third_account_is_read_only_if_the_stage_names_its_owner",),
        _ANY,
    ),
    Row(
        "the same without the owner",
        'refused: "does not belong to account"',
        ("test_a_bucket_of_a_third_account_is_read_only_if_the_stage_names_its_owner",),
    ),
    Row(
        "a model whose weights come from a hub without a commit",
        "promoted, and listed as `not_pinned`",
        ("test_weights_that_the_digest_does_not_pin_are_listed_or_refused",),
        _ANY,
    ),
    Row(
        "a model whose `serving.properties` names a model of a hub or an `s3://` URI",
        "promoted, and listed as `not_pinned`",
        (
            "test_weights_that_the_digest_does_not_pin_are_listed_or_refused",
            "test_the_file_in_the_root_of_an_archive_is_read",
        ),
        _ANY,
    ),
    Row(
        "the same with `RequirePinnedWeights`",
        'refused: "pinned weights (RequirePinnedWeights)"',
        (
            "test_weights_that_the_digest_does_not_pin_are_listed_or_refused",
            "test_a_stage_can_require_pinned_weights_whatever_the_settings_say",
        ),
    ),
)


def table() -> str:
    """Return all rows as two Markdown tables."""
    return "\n\n".join(
        _table(title, rows) for title, rows in (("Training job", TRAINING_JOBS), ("Other source", OTHERS))
    )


def _table(title: str, rows: tuple[Row, ...]) -> str:
    lines = [f"| {title} | Result | Shown by | Loaded by |", "|---|---|---|---|"]
    for row in rows:
        tests = ", ".join(f"`{name}`" for name in row.tests)
        lines.append(f"| {row.source} | {row.result} | {tests} | {row.loaded} |")
    return "\n".join(lines)
