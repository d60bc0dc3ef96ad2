"""azure-eventhub, Microsoft's own client, at the double: asks for properties and reads events until it has enough, one JSON
line for each. Arguments: port, CA file, connection string, event hub, consumer group, number of events, "amqp" or "ws"."""

import json
import os
import sys

port, ca, string, hub, group, count, transport = sys.argv[1:]
# Where these are set they win over what the client is told.
for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
    os.environ[name] = ca

from azure.eventhub import EventHubConsumerClient, TransportType  # noqa: E402

client = EventHubConsumerClient.from_connection_string(
    string,
    consumer_group=group,
    eventhub_name=hub,
    custom_endpoint_address=f"sb://localhost:{port}",
    connection_verify=ca,
    transport_type=TransportType.Amqp if transport == "amqp" else TransportType.AmqpOverWebsocket,
    retry_total=0,
)
seen = 0


def take(context, event):
    global seen
    if event is None:
        return
    seen += 1
    print(json.dumps({
        "partition": context.partition_id, "sequence": event.sequence_number, "offset": event.offset, "body": event.body_as_str(),
    }))
    if seen >= int(count):
        client.close()


def fail(context, error):
    print(json.dumps({"error": type(error).__name__, "text": str(error)}))
    client.close()


try:
    properties = client.get_eventhub_properties()
    print(json.dumps({"partitions": properties["partition_ids"]}))
    for partition in properties["partition_ids"]:
        facts = client.get_partition_properties(partition)
        print(json.dumps({"id": facts["id"], "begin": facts["beginning_sequence_number"], "last": facts["last_enqueued_sequence_number"]}))
    with client:
        client.receive(on_event=take, on_error=fail, starting_position="-1", owner_level=0)
except Exception as error:  # what it says is what the test wants to see
    print(json.dumps({"error": type(error).__name__, "text": str(error)}))
