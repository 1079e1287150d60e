"""Batch transform jobs, over files that stand for objects of S3.

https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio
from anyio import to_thread

from sagemaker_inference._emulator import errors, json_paths
from sagemaker_inference._emulator.listing import page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sagemaker_inference._emulator.platform import Platform
    from sagemaker_inference._emulator.storage import Storage
    from sagemaker_inference._emulator.tags import Tags

    Fields = dict[str, Any]

_KIND: Final = "transform-job"
_SUFFIX: Final = ".out"
_NONE: Final = "None"
_MOST_MB: Final = 100
_LONGEST_REASON: Final = 1024
_IN_PROGRESS: Final = "InProgress"
_STOPPING: Final = "Stopping"
_STOPPED: Final = "Stopped"
# How often a job looks whether its container is ready.
_LOOK_SECONDS: Final = 0.05
_MODIFIED: Final = "LastModifiedTime"
# What a listing says of a job, besides its name.
_SUMMARY: Final = (
    "TransformJobStatus",
    "TransformEndTime",
    _MODIFIED,
    "FailureReason",
)
_PREFIX: Final = "S3Prefix"
_MANIFEST: Final = "ManifestFile"

logger = logging.getLogger(__name__)


class Transform(Protocol):
    """Transforms files, as the command ``transform`` does."""

    def __call__(
        self,
        url: str,
        options: Mapping[str, Any],
        files: Sequence[tuple[Path, Path]],
        is_stopped: Callable[[], bool],
    ) -> str:
        """Transform files in this thread.

        Args:
            url: where the container serves.
            options: those of the command ``transform``.
            files: the inputs, and what they become.
            is_stopped: whether the job is to end.

        Returns:
            Why the job has failed; "" if it has not.
        """
        ...


class TransformJobs:
    """Answers the operations of transform jobs.

    Args:
        platform: the endpoint, whose container is that of all jobs.
        storage: what stands for S3.
        tags: those of all resources.
        transform: transforms files.
        check_model: raises PlatformError where a model does not exist.
    """

    def __init__(
        self,
        platform: Platform,
        storage: Storage,
        tags: Tags,
        transform: Transform,
        check_model: Callable[[Fields], object],
    ) -> None:
        self._platform = platform
        self._storage = storage
        self._tags = tags
        self._transform = transform
        self._check_model = check_model
        self._jobs: dict[str, Fields] = {}
        # As many as there are jobs, and not those that write the answers of other requests.
        self._threads = anyio.CapacityLimiter(math.inf)
        self.operations: dict[str, Callable[[Fields], Fields]] = {
            "CreateTransformJob": self._create,
            "DescribeTransformJob": self._describe,
            "ListTransformJobs": self._list,
            "StopTransformJob": self._stop,
        }

    def _create(self, fields: Fields) -> Fields:
        name = fields["TransformJobName"]
        arn = self._platform.identity.arn(_KIND, name)
        if name in self._jobs:
            message = f"Job name must be unique within an AWS account and region: {arn} exists."
            raise errors.PlatformError(400, "ResourceInUse", message)
        self._check_model(fields)
        options, files = _options(fields), self._files(fields)
        now = time.time()
        job = self._jobs[name] = {
            **{member: value for member, value in fields.items() if member != "Tags"},
            "TransformJobArn": arn,
            "TransformJobStatus": _IN_PROGRESS,
            "CreationTime": now,
            _MODIFIED: now,
        }
        self._tags.created(arn, fields)
        self._platform.start(self._run, job, options, files)
        return {"TransformJobArn": arn}

    def _found(self, fields: Fields) -> Fields:
        name = fields["TransformJobName"]
        if name not in self._jobs:
            message = f"Could not find requested job with name: {name}"
            raise errors.invalid(message)
        return self._jobs[name]

    def _describe(self, fields: Fields) -> Fields:
        # Which a listing has alone.
        return {name: one for name, one in self._found(fields).items() if name != _MODIFIED}

    def _list(self, asked: Fields) -> Fields:
        return page(self._jobs.values(), asked, "TransformJob", "TransformJobSummaries", _SUMMARY)

    def _stop(self, fields: Fields) -> Fields:
        job = self._found(fields)
        if job["TransformJobStatus"] != _IN_PROGRESS:
            status = job["TransformJobStatus"]
            message = f"The request was rejected because the transform job is in status {status}."
            raise errors.invalid(message)
        _enter(job, _STOPPING)
        return {}

    # What it is to do.

    def _files(self, fields: Fields) -> list[tuple[Path, Path]]:
        """The inputs of a job, and what they become.

        Raises:
            PlatformError: a location cannot be one, or there is nothing.
        """
        source = fields["TransformInput"]["DataSource"]["S3DataSource"]
        location, kind = source["S3Uri"], source["S3DataType"]
        output = fields["TransformOutput"]["S3OutputPath"]
        if kind not in (_PREFIX, _MANIFEST):
            message = f"The emulator reads S3DataType {_PREFIX} and {_MANIFEST}, not {kind}."
            raise errors.invalid(message)
        try:
            target = self._storage.path(f"{output}/.")
        except ValueError as error:
            message = f"S3 output path {output!r} cannot be used: {error}"
            raise errors.invalid(message) from None
        try:
            if kind == _MANIFEST:
                folder, paths = self._of_manifest(location)
            else:
                folder, paths = self._storage.with_prefix(location)
            files = [(path, target / f"{path.relative_to(folder)}{_SUFFIX}") for path in paths]
        except (ValueError, OSError, KeyError, TypeError, RecursionError) as error:
            message = f"S3 data source {location!r} cannot be used: {error}"
            raise errors.invalid(message) from None
        if not files:
            message = f"No S3 objects found under S3 URL {location!r} given in input data source."
            raise errors.invalid(message)
        return files

    def _of_manifest(self, location: str) -> tuple[Path, list[Path]]:
        """The folder of a manifest's prefix, and the objects that it names."""
        prefix, *names = json.loads(self._storage.path(location).read_bytes())
        base = str(prefix["prefix"])
        folder = self._storage.path(f"{base.rpartition('/')[0]}/.")
        return folder, [self._storage.path(base + name) for name in names]

    async def _run(
        self, job: Fields, options: Mapping[str, Any], files: Sequence[tuple[Path, Path]]
    ) -> None:
        health = self._platform.health
        job["TransformStartTime"] = time.time()
        is_ended = threading.Event()

        def is_stopped() -> bool:
            return is_ended.is_set() or job["TransformJobStatus"] == _STOPPING

        try:
            while health.status == "Creating" and not is_stopped():  # noqa: ASYNC110 - a thread's
                await anyio.sleep(_LOOK_SECONDS)
            problem = health.failure_reason
            if not problem and not is_stopped():
                # A file may take long, and the end of the emulator does not wait for it.
                problem = await to_thread.run_sync(
                    self._transform,
                    self._platform.container.url,
                    options,
                    files,
                    is_stopped,
                    abandon_on_cancel=True,
                    limiter=self._threads,
                )
        except Exception as error:
            logger.exception("%s", job["TransformJobName"])
            problem = f"{type(error).__name__}: {error}"
        finally:
            is_ended.set()
        if problem:
            job["FailureReason"] = problem[:_LONGEST_REASON]
        job["TransformEndTime"] = time.time()
        is_stopping = job["TransformJobStatus"] == _STOPPING
        _enter(job, _STOPPED if is_stopping else "Failed" if problem else "Completed")
        logger.info("%s: %s", job["TransformJobName"], job["TransformJobStatus"])


def _enter(job: Fields, status: str) -> None:
    job["TransformJobStatus"] = status
    job[_MODIFIED] = time.time()


def _options(fields: Fields) -> dict[str, Any]:
    """The options of the command that are a job's.

    Raises:
        PlatformError: members of the job do not go together, or a path is not one.
    """
    _check_payload(fields)
    given, output = fields["TransformInput"], fields["TransformOutput"]
    processing = fields.get("DataProcessing", {})
    client = fields.get("ModelClientConfig", {})
    return {
        "content_type": given.get("ContentType"),
        "accept": output.get("Accept"),
        "split": given.get("SplitType", _NONE),
        "strategy": fields.get("BatchStrategy"),
        "assemble": output.get("AssembleWith", _NONE),
        "max_payload_mb": fields.get("MaxPayloadInMB"),
        # "If MaxConcurrentTransforms is set to 0 or left unset", the container says it.
        "max_concurrent_transforms": fields.get("MaxConcurrentTransforms") or None,
        "max_retries": client.get("InvocationsMaxRetries", 3),
        "compression": given.get("CompressionType", _NONE),
        "join": processing.get("JoinSource", _NONE),
        "input_filter": _json_path(processing, "InputFilter"),
        "output_filter": _json_path(processing, "OutputFilter"),
        "timeout": client.get("InvocationsTimeoutInSeconds", 600),
    }


def _check_payload(fields: Fields) -> None:
    """Refuse what is too large to be in progress at a time.

    Where the job leaves one of the two open, the container says it, and the job fails.
    """
    payload, transforms = fields.get("MaxPayloadInMB", 0), fields.get("MaxConcurrentTransforms", 0)
    if payload * max(transforms, 1) > _MOST_MB:
        message = (
            f"MaxConcurrentTransforms * MaxPayloadInMB cannot exceed {_MOST_MB} MB: "
            f"{max(transforms, 1)} * {payload}."
        )
        raise errors.invalid(message)


def _json_path(processing: Fields, member: str) -> str:
    """A JSONPath of a job; "" for all of a record.

    Raises:
        PlatformError: the platform does not know it.
    """
    path = processing.get(member, "")
    readable = json_paths.readable(path) if path else ""
    if readable is None:
        message = f"{member} {path!r} is not a JSONPath of the operators that SageMaker supports."
        raise errors.invalid(message)
    return readable
