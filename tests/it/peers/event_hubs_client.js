// @azure/event-hubs, Microsoft's own client, at the double: as event_hubs_client.py. The CA comes in NODE_EXTRA_CA_CERTS.
// Arguments: port, connection string, event hub, consumer group, number of events.
const { EventHubConsumerClient } = require("@azure/event-hubs");

const [port, connection, hub, group, count] = process.argv.slice(2);
const say = (what) => console.log(JSON.stringify(what));
const failed = (error) => say({ error: error.code || error.name, text: error.message });

async function main() {
  const client = new EventHubConsumerClient(group, connection, hub, {
    customEndpointAddress: `sb://localhost:${port}`,
    retryOptions: { maxRetries: 0 },
  });
  const partitions = await client.getPartitionIds();
  say({ partitions });
  for (const id of partitions) {
    const facts = await client.getPartitionProperties(id);
    say({ id, begin: facts.beginningSequenceNumber, last: facts.lastEnqueuedSequenceNumber });
  }
  let seen = 0;
  await new Promise((resolve) => {
    client.subscribe(
      {
        processEvents: async (events, context) => {
          for (const event of events) {
            const body = Buffer.isBuffer(event.body) ? event.body.toString() : typeof event.body === "string" ? event.body : JSON.stringify(event.body);
            say({ partition: context.partitionId, sequence: event.sequenceNumber, offset: event.offset, body });
            seen += 1;
          }
          if (seen >= Number(count)) resolve();
        },
        processError: async (error) => {
          failed(error);
          resolve();
        },
      },
      { startPosition: { offset: "-1" }, ownerLevel: 0 },
    );
  });
  await client.close();
}

// A connection that was refused stays open for a minute.
main().catch(failed).finally(() => process.exit());
