"""Names that the JobQueue, the operator and the API agree on."""

from __future__ import annotations

GROUP = "jobqueue.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "JobQueue"
LIST_KIND = "JobQueueList"
PLURAL = "jobqueues"
SINGULAR = "jobqueue"
SHORT_NAME = "jq"
CATEGORY = "jobqueue"
CRD_NAME = f"{PLURAL}.{GROUP}"

WAKE = f"{GROUP}/wake"
"""Annotation: when a job last came for a queue without workers (RFC 3339, UTC, with milliseconds)."""
DELETE_MESSAGES = f"{GROUP}/delete-messages"
"""Annotation: `"true"` lets `deletionPolicy: Delete` delete a queue in which messages wait."""
FINALIZER = f"{GROUP}/queue"
"""Finalizer of a JobQueue whose SQS queue is deleted with it."""
NAME_LABEL = f"{GROUP}/name"
"""Label of everything the operator makes: the name of the JobQueue."""
MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "jobqueue-operator"
"""Value of `MANAGED_BY_LABEL`."""

NAME_MAX = 63
"""Longest name of a JobQueue: it is the value of a label."""
