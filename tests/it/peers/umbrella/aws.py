"""S3 and SQS by moto, with its checks of signatures and rights switched on, over TLS, told what to do line by line.

First line in: {"cert", "key", "ca", "bucket", "prefix"}. First line out: {"port", "id", "secret"} of a key that may list and read
below the prefix only, and empty the queue. Then each line in is a command, and each line out its answer.
"""

import base64
import json
import os
import sys
import threading

# The calls until rights are checked: those of `set_up`.
CALLS = 8
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = str(CALLS)
for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
    os.environ.setdefault(name, "before")

import boto3  # noqa: E402
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402

REGION = "eu-central-1"


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


def client(service, port, ca, key=None):
    more = {"aws_access_key_id": key[0], "aws_secret_access_key": key[1]} if key else {}
    return boto3.client(service, endpoint_url=f"https://127.0.0.1:{port}", region_name=REGION, verify=ca, **more)


def allow(iam, user, statements):
    """Makes a user: three calls."""
    iam.create_user(UserName=user)
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def set_up(port, settings):
    iam = client("iam", port, settings["ca"])
    admin = allow(iam, "admin", [{"Effect": "Allow", "Action": "*", "Resource": "*"}])
    arn = f"arn:aws:s3:::{settings['bucket']}"
    reader = allow(iam, "reader", [
        {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject"], "Resource": [arn, f"{arn}/{settings['prefix']}*"]},
        {"Effect": "Allow", "Action": ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"], "Resource": "*"},
    ])
    s3, sqs = (client(name, port, settings["ca"]) for name in ("s3", "sqs"))
    s3.create_bucket(Bucket=settings["bucket"], CreateBucketConfiguration={"LocationConstraint": REGION})
    queue = sqs.create_queue(QueueName="umbrella")["QueueUrl"]
    s3, sqs = (client(name, port, settings["ca"], admin) for name in ("s3", "sqs"))
    return s3, sqs, queue, reader


def answer(s3, sqs, queue, settings, command):
    bucket = settings["bucket"]
    if command["do"] == "put":
        for key, body in command["objects"].items():
            s3.put_object(Bucket=bucket, Key=key, Body=base64.b64decode(body))
    elif command["do"] == "notify":
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}],
        })
    elif command["do"] == "send":
        sqs.send_message(QueueUrl=queue, MessageBody=command["body"])
    elif command["do"] == "waiting":
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)
    else:
        raise ValueError(command)
    return None


def main():
    settings = json.loads(sys.stdin.readline())
    application = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet,
                         ssl_context=(settings["cert"], settings["key"]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    s3, sqs, queue, reader = set_up(server.server_port, settings)
    print(json.dumps({"port": server.server_port, "id": reader[0], "secret": reader[1], "queue": queue}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(s3, sqs, queue, settings, json.loads(line))), flush=True)


main()
