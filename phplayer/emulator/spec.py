"""What a function is: the description that Lambda keeps of it, and the environment that follows from it."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REGION = "us-east-1"
ACCOUNT = "123456789012"
_VERSION = "$LATEST"


@dataclass(frozen=True, kw_only=True)
class FunctionSpec:
    """A function as Lambda would be told of it."""

    folder: Path  # becomes /var/task
    layers: Path  # the merged layer trees: becomes /opt
    handler: str
    name: str
    timeout: float = 30.0  # seconds
    memory_mb: int = 1024  # MB of 1,048,576 bytes; more ends the runtime
    environment: Mapping[str, str] = field(default_factory=dict)
    concurrency: int = 1  # events at once in one sandbox; above 1 as on Lambda Managed Instances
    tmp_mb: int = 512  # MB of /tmp

    @property
    def arn(self) -> str:
        """The ARN that events carry; region and account stand for themselves."""
        return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}"

    @property
    def bootstrap(self) -> str | None:
        """What Lambda would start: the function's own bootstrap before that of the layers; None without any."""
        found = (
            inside
            for inside, path in (("/var/task/bootstrap", self.folder), ("/opt/bootstrap", self.layers))
            if (path / "bootstrap").is_file()
        )
        return next(found, None)


def environment(spec: FunctionSpec, *, api: str) -> dict[str, str]:
    """Return the environment that Lambda gives a function with a custom runtime, and the function's own variables.

    Those that Lambda reserves go before the function's, the others after them. No credentials: Lambda would give
    those of the function's role, and nothing here has any.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    stream = hashlib.sha256(spec.name.encode()).hexdigest()[:32]
    unreserved = {
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "LANG": "en_US.UTF-8",
        "LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
        "PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "TZ": ":UTC",
    }
    reserved = {
        "_HANDLER": spec.handler,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": spec.name,
        "AWS_LAMBDA_FUNCTION_VERSION": _VERSION,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand" if spec.concurrency == 1 else "lambda-managed-instances",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.name}",
        "AWS_LAMBDA_LOG_STREAM_NAME": time.strftime("%Y/%m/%d/", time.gmtime()) + f"[{_VERSION}]{stream}",
        "AWS_LAMBDA_RUNTIME_API": api,
        "AWS_REGION": REGION,
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": "/var/task",
    }
    if spec.concurrency > 1:
        reserved["AWS_LAMBDA_MAX_CONCURRENCY"] = str(spec.concurrency)
    return {**unreserved, **spec.environment, **reserved}
