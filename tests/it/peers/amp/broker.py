"""What the vendor does at its broker: puts events into queues, makes queues and takes them away. A command a line, an answer a line."""

import json
import ssl
import sys

import pika


def connect(settings):
    context = ssl.create_default_context(cafile=settings["ca"])
    return pika.BlockingConnection(
        pika.ConnectionParameters(
            "127.0.0.1",
            settings["port"],
            credentials=pika.PlainCredentials("admin", settings["password"]),
            ssl_options=pika.SSLOptions(context, "127.0.0.1"),
            heartbeat=0,
        )
    )


def act(channel, command):
    queue = command["queue"]
    match command["do"]:
        case "send":
            for body in command["bodies"]:
                properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)
                channel.basic_publish("", queue, body.encode(), properties)
        case "make":
            channel.queue_declare(queue, durable=True)
        case "delete":
            channel.queue_delete(queue)
    return None


def look(connection, queue):
    channel = connection.channel()
    try:
        found = channel.queue_declare(queue, passive=True).method
        channel.close()
        return {"ready": found.message_count, "consumers": found.consumer_count}
    except pika.exceptions.ChannelClosedByBroker:
        return None


def main():
    connection = connect(json.loads(sys.stdin.readline()))
    channel = connection.channel()
    channel.confirm_delivery()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        answer = look(connection, command["queue"]) if command["do"] == "look" else act(channel, command)
        print(json.dumps(answer), flush=True)


main()
