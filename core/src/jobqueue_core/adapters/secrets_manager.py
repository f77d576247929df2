"""Secrets from AWS Secrets Manager."""

from __future__ import annotations

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from jobqueue_core.adapters.aws import aws_session
from jobqueue_core.ports.secrets import (
    SecretAccessDeniedError,
    SecretError,
    SecretNotFoundError,
    SecretUnavailableError,
    SecretUnreadableError,
)

MAX_ATTEMPTS = 5
TIMEOUT_SECONDS = 5

_DENIED = frozenset(
    {
        "AccessDeniedException",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)


class SecretsManagerReader:
    """Reads secrets with the credentials, region and endpoint that AWS's own variables name.

    botocore's standard retry mode repeats what is worth repeating (throttling, 5xx, lost connections), with
    jitter and within a quota. A second loop around it would have to keep its own list of such errors, and
    would multiply the attempts.

    Args:
        max_attempts: Requests for one secret at most, the first included.
    """

    def __init__(self, max_attempts: int = MAX_ATTEMPTS) -> None:
        self._config = Config(
            retries={"mode": "standard", "total_max_attempts": max_attempts},
            connect_timeout=TIMEOUT_SECONDS,
            read_timeout=TIMEOUT_SECONDS,
        )

    async def read(self, secret_id: str) -> str:
        """Return the current text of a secret, by its name or ARN.

        Raises:
            SecretError: The secret cannot be read, and why. Neither the message nor its cause has the value.
        """
        try:
            async with aws_session().client("secretsmanager", config=self._config) as client:
                answer = await client.get_secret_value(SecretId=secret_id)
        except ClientError as error:
            raise _refused(secret_id, error) from error
        except NoCredentialsError as error:
            rule = "cannot be read: no AWS credentials found (pod identity, AWS_PROFILE, AWS_ACCESS_KEY_ID)"
            raise SecretAccessDeniedError(secret_id, rule) from error
        except NoRegionError as error:
            raise SecretUnavailableError(
                secret_id, "cannot be read: no AWS region, set AWS_REGION"
            ) from error
        except (BotoCoreError, OSError, ValueError) as error:
            rule = f"cannot be read: AWS Secrets Manager does not answer ({type(error).__name__})"
            raise SecretUnavailableError(
                secret_id, f"{rule}; check network, AWS_REGION and AWS_ENDPOINT_URL"
            ) from error
        text = answer.get("SecretString")
        if not isinstance(text, str):
            raise SecretUnreadableError(secret_id, "is binary: store it as text")
        return text


def _refused(secret_id: str, error: ClientError) -> SecretError:
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    if code == "ResourceNotFoundException":
        rule = "does not exist in this account and region: create it, or correct its id or AWS_REGION"
        return SecretNotFoundError(secret_id, rule)
    if code in _DENIED:
        rule = f"may not be read ({code}): allow secretsmanager:GetSecretValue on it to this identity"
        return SecretAccessDeniedError(secret_id, rule)
    if code == "DecryptionFailure":
        rule = "cannot be decrypted: allow kms:Decrypt on its key to this identity"
        return SecretAccessDeniedError(secret_id, rule)
    if code == "InvalidRequestException":
        return SecretNotFoundError(
            secret_id, "cannot be read as it is: it may be marked for deletion; restore it"
        )
    return SecretUnavailableError(secret_id, f"cannot be read: AWS Secrets Manager answered {code}")
