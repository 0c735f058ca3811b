"""S3, as the way for archives that are too large for a request to Lambda."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from phplayer.aws.refusals import ElsewhereError, NotFoundError
from phplayer.errors import AwsRefusedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from phplayer.aws.connection import Connection

_PART = 8 * 1024 * 1024  # bytes
_PARTS_AT_ONCE = 2  # of one upload; several regions upload side by side
_LOCATION_OPTIONAL = "us-east-1"  # the one region that CreateBucket does not take as a LocationConstraint


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """An object in a bucket."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


class Buckets:
    """The calls about buckets and objects. Each names the account that must own the bucket."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def check(self, region: str, bucket: str, account: str) -> None:
        """See that the bucket exists, is ours and is in this region.

        Raises:
            NotFoundError: there is none.
            PhplayerError: it is elsewhere or somebody else's, or the look was refused.

        """
        with self._connection.calling("s3:ListBucket", region):
            try:
                answer = self._connection.client("s3", region).head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
            except self._connection.refused() as error:
                status = error.response["ResponseMetadata"]["HTTPStatusCode"]
                if status == HTTPStatus.NOT_FOUND:  # HEAD has no body, so there is no code but this
                    raise NotFoundError(
                        f"There is no bucket {bucket} (s3:ListBucket in {region}).",
                        remedy="Pass --create-bucket, or name an existing one with --s3-bucket.",
                    ) from error
                if status == HTTPStatus.FORBIDDEN:
                    raise AwsRefusedError(
                        f"The bucket {bucket} belongs to another account than {account}, or these credentials lack "
                        f"s3:ListBucket in {region}.",
                        remedy="Choose a bucket of the account's own (--s3-bucket 'layers-{account}-{region}'), or "
                        "allow s3:ListBucket to the principal.",
                    ) from error
                if status in {HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.BAD_REQUEST}:
                    raise _elsewhere(bucket, region, "") from error
                raise
            there = answer.get("BucketRegion") or answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
            if there and there != region:
                raise _elsewhere(bucket, region, there)

    def create(self, region: str, bucket: str) -> None:
        """Make a bucket that nobody else can see into: public access blocked, encryption on.

        Raises:
            PhplayerError: it was refused.

        """
        client = self._connection.client("s3", region)
        location = {} if region == _LOCATION_OPTIONAL else {"LocationConstraint": region}
        with self._connection.calling("s3:CreateBucket", region):
            if location:
                client.create_bucket(Bucket=bucket, CreateBucketConfiguration=location)
            else:
                client.create_bucket(Bucket=bucket)
        with self._connection.calling("s3:PutBucketPublicAccessBlock", region):
            kinds = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
            client.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(kinds, True))
        with self._connection.calling("s3:PutEncryptionConfiguration", region):
            rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
            client.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})

    def upload(
        self, region: str, path: Path, to: StoredObject, *, account: str, progress: Callable[[int], None]
    ) -> None:
        """Send a file in parts; ``progress`` gets the bytes of each piece that is on its way, from other threads.

        Raises:
            PhplayerError: it was refused; no parts are left behind.

        """
        from boto3.exceptions import S3UploadFailedError
        from boto3.s3.transfer import TransferConfig

        config = TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART, max_concurrency=_PARTS_AT_ONCE)
        with self._connection.calling("s3:PutObject", region):
            try:
                self._connection.client("s3", region).upload_file(
                    str(path),
                    to.bucket,
                    to.key,
                    ExtraArgs={"ExpectedBucketOwner": account},
                    Callback=progress,
                    Config=config,
                )
            except S3UploadFailedError as error:  # AWS's answer, packed into a sentence
                if error.__context__ is not None:
                    raise error.__context__ from error
                raise

    def remove(self, region: str, stored: StoredObject, *, account: str) -> None:
        """Delete an object; one that is gone is no error.

        Raises:
            PhplayerError: it was refused.

        """
        with contextlib.suppress(NotFoundError), self._connection.calling("s3:DeleteObject", region):
            self._connection.client("s3", region).delete_object(
                Bucket=stored.bucket, Key=stored.key, ExpectedBucketOwner=account
            )


def _elsewhere(bucket: str, region: str, there: str) -> ElsewhereError:
    where = f"in {there}" if there else "elsewhere"
    return ElsewhereError(
        f"The bucket {bucket} is {where}, but a layer in {region} is taken from a bucket in {region} only.",
        remedy="Use a bucket for each region: --s3-bucket 'layers-{account}-{region}'",
    )
