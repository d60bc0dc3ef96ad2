"""S3 and SQS by moto, with its checks of signatures and rights switched on, over TLS, told what to do line by line.

First line in: {"cert", "key", "ca", "buckets", "prefix", "queue"}. First line out: {"port", "id", "secret", "queue"} of a key that
may list and read below the prefix only, and empty the queue. Then each line in is a command, and each line out its answer.
"""

import base64
import json
import os
import socket
import sys
import threading

settings = json.loads(sys.stdin.readline())
# The calls until rights are checked: those of `set_up`.
os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = str(7 + len(settings["buckets"]))
for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
    os.environ.setdefault(name, "before")

import boto3  # noqa: E402
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402

REGION = "eu-central-1"
READ = ["s3:ListBucket", "s3:GetObject"]
EMPTY = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_):
        pass


class Faulty:
    """moto behind a link that breaks on command. Keeps the paths of the objects that were read whole."""

    def __init__(self, inner):
        self.inner, self.faults, self.read = inner, [], []
        self.mended = threading.Event()

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"].encode("latin-1").decode()
        fault = next((fault for fault in self.faults if fault["part"] in path and fault["times"] > 0), None)
        if environ["REQUEST_METHOD"] != "GET" or environ.get("QUERY_STRING"):
            return self.inner(environ, start_response)
        if fault is None:
            self.read.append(path)
            return self.inner(environ, start_response)
        fault["times"] -= 1
        if "code" in fault:
            body = f"<?xml version=\"1.0\"?>\n<Error><Code>{fault['word']}</Code><Message>m</Message></Error>".encode()
            start_response(f"{fault['code']} {fault['word']}", [("Content-Length", str(len(body))), ("Content-Type", "application/xml")])
            return [body]
        return self.hold(environ, start_response) if "hold" in fault else self.cut(environ, start_response)

    def hold(self, environ, start_response):
        whole = b"".join(self.inner(environ, start_response))
        yield whole[:len(whole) // 2]
        self.mended.wait()
        yield whole[len(whole) // 2:]

    def cut(self, environ, start_response):
        whole = b"".join(self.inner(environ, start_response))
        yield whole[:len(whole) // 2]
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionError


def client(service, port, ca, key=None):
    more = {"aws_access_key_id": key[0], "aws_secret_access_key": key[1]} if key else {}
    return boto3.client(service, endpoint_url=f"https://127.0.0.1:{port}", region_name=REGION, verify=ca, **more)


def policy(iam, user, statements):
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=document)


def new_key(iam, user):
    key = iam.create_access_key(UserName=user)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def allow(iam, user, statements):
    """Makes a user: three calls."""
    iam.create_user(UserName=user)
    policy(iam, user, statements)
    return new_key(iam, user)


def rights(read, empty):
    arns = [f"arn:aws:s3:::{bucket}" for bucket in settings["buckets"]]
    below = [f"{arn}/{settings['prefix']}*" for arn in arns]
    return [{"Effect": "Allow", "Action": actions, "Resource": resources}
            for actions, resources in ((read, arns + below), (empty, "*")) if actions]


class Aws:
    def __init__(self, port, link):
        ca, self.link = settings["ca"], link
        iam = client("iam", port, ca)
        admin = allow(iam, "admin", [{"Effect": "Allow", "Action": "*", "Resource": "*"}])
        self.reader = allow(iam, "reader", rights(READ, EMPTY))
        s3, sqs = (client(name, port, ca) for name in ("s3", "sqs"))
        for bucket in settings["buckets"]:
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        self.queue = sqs.create_queue(QueueName=settings["queue"])["QueueUrl"]
        self.s3, self.sqs, self.iam = (client(name, port, ca, admin) for name in ("s3", "sqs", "iam"))

    def put(self, command):
        for key, body in command["objects"].items():
            self.s3.put_object(Bucket=command["bucket"], Key=key, Body=base64.b64decode(body))

    def notify(self, command):
        arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.s3.put_bucket_notification_configuration(Bucket=command["bucket"], NotificationConfiguration={
            "QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}],
        })

    def send(self, command):
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=command["body"])

    def waiting(self, _):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def rights(self, command):
        policy(self.iam, "reader", rights(command.get("read", READ), command.get("empty", EMPTY)))

    def revoke(self, _):
        """Replaces the reader's key."""
        self.iam.delete_access_key(UserName="reader", AccessKeyId=self.reader[0])
        self.reader = new_key(self.iam, "reader")
        return {"id": self.reader[0], "secret": self.reader[1]}

    def fault(self, command):
        self.link.mended.clear()
        self.link.faults.append(command)

    def mend(self, _):
        self.link.faults.clear()
        self.link.mended.set()

    def read(self, _):
        return self.link.read


def main():
    link = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, link, threaded=True, request_handler=Quiet,
                         ssl_context=(settings["cert"], settings["key"]))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    aws = Aws(server.server_port, link)
    print(json.dumps({"port": server.server_port, "id": aws.reader[0], "secret": aws.reader[1], "queue": aws.queue}), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        print(json.dumps(getattr(aws, command["do"])(command)), flush=True)


main()
