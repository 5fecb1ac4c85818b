"""The table of routes: the application and the OpenAPI document are made of it, so neither has what the other lacks."""

from __future__ import annotations

from typing import Final

from aiohttp import hdrs

from thumbq.core.token import Scope
from thumbq.web import (
    callbacks,
    health,
    inbox,
    joblist,
    jobs,
    metrics,
    openapi,
    presigned,
    putupload,
    renditions,
    trying,
    upload,
)
from thumbq.web.answers import CallbackAnswer, HealthAnswer, JobAnswer, JobsAnswer, PresignedAnswer, UploadAnswer
from thumbq.web.fields import UploadForm, UploadQuery
from thumbq.web.idempotency import KeyHeaders, UploadHeaders
from thumbq.web.inbox import PresignedForm
from thumbq.web.joblist import JobsQuery
from thumbq.web.pageroutes import PAGE_ROUTES
from thumbq.web.presigned import PresignRequest
from thumbq.web.queueroutes import QUEUE_ROUTES
from thumbq.web.route import FORM, IMAGE, JSON, Body, Route
from thumbq.web.trying import TryQuery

_STORE: Final = ("backend-bad-answer", "backend-refused", "backend-unavailable")
_STORING: Final = (*_STORE, "insufficient-storage")
_BODY: Final = ("incomplete-body", "too-large", "upload-stalled", "upload-too-slow", "busy", "stopping")
_FORM: Final = (
    *_BODY,
    *("not-multipart", "no-boundary", "nested-form", "invalid-part-head", "part-head-too-large", "invalid-field"),
    *("no-file", "empty-file", "too-many-fields", "transfer-encoding"),
)
_OPTIONS: Final = (
    *("field-too-large", "group-not-taken", "tenant-not-taken", "unknown-preset"),
    *("unknown-priority", "invalid-callback-url", "callback-not-allowed", "invalid-metadata", "too-much-metadata"),
)
_KEY: Final = ("idempotency-key-reused", "invalid-idempotency-key", "upload-under-way")
_UNCHANGED: Final = ("It is as the client has it (`If-None-Match`).", None)
_JOB: Final = {"id": "The job's id."}

ROUTES: Final = (
    Route(
        method=hdrs.METH_POST,
        path="/upload",
        handler=upload.upload,
        name="upload",
        summary="Store the files of a form, and queue a job for each.",
        scope=Scope.UPLOAD,
        body=Body(FORM, UploadForm),
        headers=UploadHeaders,
        answers={
            201: ("All files are stored and queued.", Body(JSON, UploadAnswer)),
            207: ("Some are; the others say why not.", Body(JSON, UploadAnswer)),
        },
        problems=(*_FORM, *_OPTIONS, *_STORING, *_KEY, "field-after-file", "too-many-files", "unsupported-format"),
    ),
    Route(
        method=hdrs.METH_PUT,
        path="/upload/{filename}",
        handler=putupload.put_upload,
        name="put_upload",
        summary="Store a file, and queue a job for it.",
        scope=Scope.UPLOAD,
        parameters={"filename": "The client's name of it, for people."},
        query=UploadQuery,
        headers=UploadHeaders,
        body=Body(IMAGE),
        answers={201: ("It is stored and queued.", Body(JSON, UploadAnswer))},
        problems=(
            *(*_BODY, *_OPTIONS, *_STORING, *_KEY, "invalid-field", "invalid-query", "empty-file"),
            "unsupported-format",
        ),
    ),
    Route(
        method=hdrs.METH_POST,
        path="/uploads",
        handler=presigned.presign_upload,
        name="presign_upload",
        summary="Sign an upload that the client then makes itself.",
        scope=Scope.UPLOAD,
        body=Body(JSON, PresignRequest),
        headers=KeyHeaders,
        answers={201: ("The form to post.", Body(JSON, PresignedAnswer))},
        problems=(
            *(*_BODY, *_STORE, *_KEY, "bad-host", "invalid-json", "invalid-member"),
            *("callback-not-allowed", "too-much-metadata", "deleted"),
        ),
    ),
    Route(
        method=hdrs.METH_POST,
        path="/inbox",
        handler=inbox.accept_presigned_upload,
        name="post_presigned_upload",
        summary="Take the form of a presigned upload, in place of a store without an address of its own.",
        scope=None,
        body=Body(FORM, PresignedForm),
        answers={204: ("The file is stored and queued.", None)},
        problems=(
            *(*_FORM, *_STORING, "form-expired", "form-incomplete", "form-not-signed", "no-direct-uploads"),
            *("repeated-field", "deleted"),
        ),
    ),
    Route(
        method=hdrs.METH_GET,
        path="/jobs",
        handler=joblist.get_jobs,
        name="get_jobs",
        summary="Get the jobs with these ids, or a page of all, the newest first.",
        scope=Scope.READ,
        scope_by_id=Scope.UPLOAD,
        query=JobsQuery,
        headers=jobs.NewsHeaders,
        answers={200: ("The jobs.", Body(JSON, JobsAnswer)), 304: _UNCHANGED},
        problems=(*_STORE, "invalid-query", "invalid-cursor"),
    ),
    Route(
        method=hdrs.METH_GET,
        path="/jobs/{id}",
        handler=jobs.get_job,
        name="get_job",
        summary="Get the state of a job.",
        scope=Scope.UPLOAD,
        parameters=_JOB,
        headers=jobs.NewsHeaders,
        answers={200: ("The job.", Body(JSON, JobAnswer)), 304: _UNCHANGED},
        problems=(*_STORE, "deleted"),
        missing=("no-job",),
    ),
    Route(
        method=hdrs.METH_DELETE,
        path="/jobs/{id}",
        handler=jobs.delete_job,
        name="delete_job",
        summary="Delete a job: its original, its renditions, and all that is known of it.",
        scope=Scope.ADMIN,
        parameters=_JOB,
        answers={204: ("It is deleted, now or before.", None)},
        problems=_STORE,
        missing=("no-job",),
    ),
    Route(
        method=hdrs.METH_GET,
        path="/jobs/{id}/{preset}",
        handler=renditions.get_rendition,
        name="get_rendition",
        summary="Get a rendition.",
        rendition=True,
        scope=Scope.UPLOAD,
        parameters={**_JOB, "preset": "Name of the preset."},
        headers=jobs.MatchHeaders,
        answers={200: ("The file.", Body(IMAGE)), 304: _UNCHANGED},
        problems=(*_STORE, "deleted"),
        missing=(
            *("no-job", "unknown-preset", "awaiting-upload", "expired", "not-ready", "not-made", "job-failed"),
            *("preset-failed", "rendition-missing"),
        ),
    ),
    Route(
        method=hdrs.METH_POST,
        path="/jobs/{id}/webhook",
        handler=callbacks.send_callback_again,
        name="send_callback_again",
        summary="Send the callback of a job that has ended again.",
        scope=Scope.ADMIN,
        parameters=_JOB,
        answers={202: ("It is sent.", Body(JSON, CallbackAnswer))},
        problems=(*_STORE, "job-not-ended", "no-callback", "deleted"),
        missing=("no-job",),
    ),
    Route(
        method=hdrs.METH_POST,
        path="/try",
        handler=trying.try_preset,
        name="try_preset",
        summary="Make one rendition of a picture by these options; nothing is stored.",
        scope=Scope.ADMIN,
        query=TryQuery,
        body=Body(IMAGE),
        answers={200: ("The rendition. `Server-Timing` has the CPU time that it took, in milliseconds.", Body(IMAGE))},
        problems=(*_BODY, "invalid-query"),
        unmade=trying.UNMADE,
    ),
    Route(
        method=hdrs.METH_GET,
        path="/livez",
        handler=health.livez,
        name="livez",
        summary="Whether the process works; a restart would help otherwise.",
        scope=None,
        answers={200: ("It does.", Body(JSON, HealthAnswer))},
        problems=("not-alive",),
    ),
    Route(
        method=hdrs.METH_GET,
        path="/readyz",
        handler=health.readyz,
        name="readyz",
        summary="Whether requests should come to this replica, and what is away for all of them.",
        scope=None,
        answers={200: ("They should.", Body(JSON, HealthAnswer))},
        problems=("not-ready",),
    ),
    Route(
        method=hdrs.METH_GET,
        path="/metrics",
        handler=metrics.get_metrics,
        name="get_metrics",
        summary="Get the metrics of this replica, for Prometheus.",
        scope=Scope.ADMIN,
        answers={200: ("The metrics, as text or as OpenMetrics.", Body("text/plain"))},
        missing=("no-metrics",),
    ),
    Route(
        method=hdrs.METH_GET,
        path="/openapi.json",
        handler=openapi.get_document,
        name="openapi",
        summary="This document.",
        scope=None,
        answers={200: ("OpenAPI 3.1.", Body(JSON))},
    ),
    *PAGE_ROUTES,
    *QUEUE_ROUTES,
)
