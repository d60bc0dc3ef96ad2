"""AWS's own library against the double of S3: what it lists and reads, and what it is refused."""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

url, ca, region, bucket, prefix, key_id, secret = sys.argv[1:]


def client(key_id, secret):
    return boto3.client("s3", endpoint_url=url, region_name=region, verify=ca, aws_access_key_id=key_id,
                        aws_secret_access_key=secret, config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}))


def refused(ask):
    try:
        ask()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "nothing"


s3 = client(key_id, secret)
lists = s3.get_paginator("list_objects_v2")
folders = [found["Prefix"] for page in lists.paginate(Bucket=bucket, Prefix=prefix, Delimiter="/") for found in page.get("CommonPrefixes", [])]
under = prefix + "dnslogs/"
all_keys = [found["Key"] for page in lists.paginate(Bucket=bucket, Prefix=under) for found in page["Contents"]]
after = [found["Key"] for page in lists.paginate(Bucket=bucket, Prefix=under, StartAfter=all_keys[2]) for found in page["Contents"]]
read = len(s3.get_object(Bucket=bucket, Key=all_keys[0])["Body"].read())
wrong = [
    refused(lambda: client(key_id, "wrong").list_objects_v2(Bucket=bucket, Prefix=prefix)),
    refused(lambda: client("AKIAWRONG", secret).list_objects_v2(Bucket=bucket, Prefix=prefix)),
    refused(lambda: s3.list_objects_v2(Bucket=bucket)),
    refused(lambda: s3.get_object(Bucket=bucket, Key=prefix + "none")),
]
print(json.dumps({"folders": folders, "after": after, "read": read, "wrong": wrong}))
