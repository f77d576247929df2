"""The AWS session of every client."""

from __future__ import annotations

import os

import aioboto3


def aws_session() -> aioboto3.Session:
    """Return a session with the region, credentials and endpoints of AWS's own variables and files.

    `AWS_REGION` is what AWS's other SDKs and its container services set; botocore itself reads
    only `AWS_DEFAULT_REGION`.
    """
    return aioboto3.Session(region_name=os.environ.get("AWS_REGION") or None)
