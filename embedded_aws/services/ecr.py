"""ECR: registries with the content of images, for pushes and pulls, from other accounts as well.

https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html and the pages of the other operations.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from typing import Any

from moto.core.responses import ActionResult
from moto.ecr.exceptions import ImageAlreadyExistsException
from moto.ecr.models import ECRBackend, Image, Repository, ecr_backends
from moto.ecr.responses import ECRResponse

from embedded_aws.iam.permissions import Call, Need, Needs, Permissions
from embedded_aws.kernel import accounts
from embedded_aws.kernel.errors import NotModeledError
from embedded_aws.kernel.host import Host
from embedded_aws.kernel.patching import Patches
from embedded_aws.kernel.validation import ApiError

# API_UploadLayerPart: "The maximum size of each image layer part"; CompleteLayerUpload: LayerPartTooSmallException.
_LARGEST_PART = 20971520
_SMALLEST_PART = 5 * 1024 * 1024
_DOWNLOADS = "/layers/"

patches = Patches("5.2.5")
_upload_in_moto = ECRBackend.upload_layer_part
_complete_in_moto = ECRBackend.complete_layer_upload
_validate_in_moto = ECRBackend._validate_registry_policy_action
_SCOPE = "REGISTRY_POLICY_SCOPE"
# The account settings by account, region and name.
_settings: dict[tuple[str, str, str], str] = {}
# The content of a layer by the secret in its URL.
_downloads: dict[str, bytes] = {}


class LayerDownloads:
    """A WSGI middleware that serves the URLs of GetDownloadUrlForLayer, which need no signature."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve a layer, or pass the request on."""
        content = _downloads.get(environ.get("PATH_INFO", "").removeprefix(_DOWNLOADS))
        if content is None:
            answer: Iterable[bytes] = self._application(environ, start_response)
            return answer
        headers = [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(content)))]
        start_response("200 OK", headers)
        return [content]


def install(host: Host) -> None:
    """Apply the patches."""
    patches.apply()


@patches.replaces(
    ECRBackend, "_validate_registry_policy_action", "moto accepts registry policies for three actions only."
)
def _validate_registry_policy_action(backend: ECRBackend, policy_text: str) -> None:
    """Accept every action, unless the scope of registry policies is V1 (user guide, registry-permissions-create)."""
    if _setting(backend, _SCOPE) == "V1":
        _validate_in_moto(backend, policy_text)


@patches.replaces(ECRResponse, "get_account_setting", "moto does not implement it.", adds=True)
def _get_account_setting(response: ECRResponse) -> ActionResult:
    name = response._get_param("name")
    return ActionResult({"name": name, "value": _setting(response.ecr_backend, name)})


@patches.replaces(ECRResponse, "put_account_setting", "moto does not implement it.", adds=True)
def _put_account_setting(response: ECRResponse) -> ActionResult:
    name, value = response._get_param("name"), response._get_param("value")
    _setting(response.ecr_backend, name)
    _settings[response.ecr_backend.account_id, response.ecr_backend.region_name, name] = value
    return ActionResult({"name": name, "value": value})


def _setting(backend: ECRBackend, name: str) -> str:
    """Return an account setting. "For new users, your registries are automatically configured to use V2"."""
    if name != _SCOPE:
        raise NotModeledError(f"the account setting {name}")
    return _settings.get((backend.account_id, backend.region_name, name), "V2")


@patches.replaces(ECRResponse, "ecr_backend", "moto searches the caller's account for every repository.")
def _backend(response: ECRResponse) -> ECRBackend:
    """Return the backend of the registry in the request. Its authorization is already complete."""
    registry = response._get_param("registryId")
    known = registry in accounts.ACCOUNTS.values()
    return ecr_backends[registry if known else response.current_account][response.region]


def _contents(repository: Repository) -> dict[str, bytes]:
    contents: dict[str, bytes] = vars(repository).setdefault("layer_contents", {})
    return contents


@patches.replaces(ECRBackend, "upload_layer_part", "moto accepts parts of any size.")
def _upload_layer_part(
    backend: ECRBackend,
    repository_name: str,
    upload_id: str,
    part_first_byte: int,
    part_last_byte: int,
    layer_part_blob: bytes,
    registry_id: str | None = None,
) -> dict[str, Any]:
    size = len(layer_part_blob)
    if size > _LARGEST_PART or size != part_last_byte - part_first_byte + 1:
        raise ApiError(
            "InvalidParameterException", f"The layer part has {size} bytes. The maximum is {_LARGEST_PART} bytes."
        )
    answer: dict[str, Any] = _upload_in_moto(
        backend, repository_name, upload_id, part_first_byte, part_last_byte, layer_part_blob, registry_id
    )
    vars(backend._get_repository(repository_name).uploads[upload_id]).setdefault("part_sizes", []).append(size)
    return answer


@patches.replaces(ECRBackend, "complete_layer_upload", "moto neither stores layers nor compares digests.")
def _complete_layer_upload(
    backend: ECRBackend,
    repository_name: str,
    upload_id: str,
    layer_digests: list[str],
    registry_id: str | None = None,
) -> dict[str, Any]:
    repository = backend._get_repository(repository_name, registry_id)
    upload = repository.uploads.get(upload_id)
    content = b""
    if upload is not None:
        content = bytes(upload.layer_parts)
        digest = _sha256(content)
        if not content:
            raise ApiError("EmptyUploadException", f"The upload {upload_id} has no parts.")
        if any(size < _SMALLEST_PART for size in upload.part_sizes[:-1]):
            raise ApiError(
                "LayerPartTooSmallException", f"Layer parts must be at least {_SMALLEST_PART} bytes in size."
            )
        if digest not in layer_digests:
            raise ApiError(
                "InvalidLayerException", f"The digest of the uploaded layer is {digest}, not {layer_digests[0]}."
            )
        if digest in repository.layers:
            raise ApiError("LayerAlreadyExistsException", f"The layer {digest} already exists in {repository_name}.")
    answer: dict[str, Any] = _complete_in_moto(backend, repository_name, upload_id, layer_digests, registry_id)
    _contents(repository)[answer["layerDigest"]] = content
    return answer


@patches.replaces(ECRResponse, "get_download_url_for_layer", "moto does not implement it.")
def _get_download_url_for_layer(response: ECRResponse) -> ActionResult:
    """Return a layer's URL: "You can only get URLs for image layers that are referenced in an image".

    https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetDownloadUrlForLayer.html
    """
    name, digest = response._get_param("repositoryName"), response._get_param("layerDigest")
    repository = response.ecr_backend._get_repository(name, response._get_param("registryId"))
    referenced = {layer for image in repository.images for layer in _layers(json.loads(image.image_manifest))}
    if digest not in referenced or digest not in repository.layers:
        raise ApiError("LayersNotFoundException", f"The layer {digest} does not exist in the images of {name}.")
    secret = secrets.token_urlsafe(32)
    _downloads[secret] = _contents(repository)[digest]
    return ActionResult({"downloadUrl": f"{accounts.endpoint_url()}{_DOWNLOADS}{secret}", "layerDigest": digest})


@patches.replaces(ECRBackend, "put_image", "moto generates random digests of manifests, and does not check layers.")
def _put_image(
    backend: ECRBackend,
    repository_name: str,
    image_manifest: str,
    image_tag: str | None,
    image_manifest_mediatype: str | None = None,
    digest: str | None = None,
) -> Image:
    repository = backend._get_repository(repository_name)
    manifest = json.loads(image_manifest)
    media_type = image_manifest_mediatype or manifest.get("mediaType")
    if not media_type:
        raise ApiError("InvalidParameterException", "Neither the image manifest nor the request has a media type.")
    actual = _sha256(image_manifest.encode())
    if digest not in (None, actual):
        raise ApiError(
            "ImageDigestDoesNotMatchException", f"The digest of the image manifest is {actual}, not {digest}."
        )
    if missing := [layer for layer in _layers(manifest) if layer not in repository.layers]:
        raise ApiError(
            "LayersNotFoundException", f"Layers with digests '{missing}' required for pushing image do not exist."
        )
    present = {image.get_image_digest(): image for image in repository.images}
    if missing := [child["digest"] for child in manifest.get("manifests", []) if child["digest"] not in present]:
        raise ApiError(
            "ReferencedImagesNotFoundException", f"Images with digests '{missing}' required for pushing do not exist."
        )
    image = present.get(actual)
    if image and (image_tag is None or image_tag in image.image_tags):
        raise ImageAlreadyExistsException(repository_name, repository.registry_id, actual, str(image_tag))
    for other in repository.images if image_tag else []:
        if image_tag in other.image_tags:
            if repository.is_tag_immutable():
                raise ApiError(
                    "ImageTagAlreadyExistsException", f"The tag {image_tag} of {repository_name} is immutable."
                )
            other.remove_tag(image_tag)
            other.image_tag = other.image_tags[-1] if other.image_tags else None
    if image is None:
        image = Image(backend.account_id, image_tag, image_manifest, repository_name, media_type, actual)
        repository.images.append(image)
    else:
        image.update_tag(image_tag)
    return image


def _layers(manifest: dict[str, Any]) -> list[str]:
    """Return the digests of a manifest's layers and of its config, which ECR stores as a layer."""
    parts = [*([manifest["config"]] if "config" in manifest else []), *manifest.get("layers", [])]
    return [part["digest"] for part in parts]


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _required(call: Call) -> Needs:
    match call.operation:
        case (
            "GetAuthorizationToken"
            | "PutRegistryPolicy"
            | "GetRegistryPolicy"
            | "DeleteRegistryPolicy"
            | "GetAccountSetting"
            | "PutAccountSetting"
        ):
            yield Need(f"ecr:{call.operation}", ("*",))
        case (
            "BatchGetImage"
            | "BatchCheckLayerAvailability"
            | "GetDownloadUrlForLayer"
            | "DescribeImages"
            | "InitiateLayerUpload"
            | "UploadLayerPart"
            | "CompleteLayerUpload"
            | "PutImage"
            | "CreateRepository"
            | "DeleteRepository"
            | "SetRepositoryPolicy"
        ):
            registry = call.parameters.get("registryId") or call.account
            repository = f"arn:aws:ecr:{call.region}:{registry}:repository/{call.parameters['repositoryName']}"
            yield Need(f"ecr:{call.operation}", (repository,))


PERMISSIONS = {"ecr": Permissions(_required)}
