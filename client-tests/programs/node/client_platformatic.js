// @platformatic/kafka, which uses modern versions only and consumes in a group only, here by the consumer protocol.

'use strict'

const {
  Admin, ConfigResourceTypes, Consumer, IncrementalAlterConfigOperationTypes, ListOffsetTimestamps, MessagesStreamModes,
  Producer
} = require('@platformatic/kafka')
const { fromHex, ownGroup, serve, stored, withTimeout } = require('./contract')

const address = { clientId: 'client', bootstrapBrokers: [process.argv[2]] }

async function using (client, act) {
  try {
    return await act(client)
  } finally {
    await client.close()
  }
}

serve({
  create_topic: ({ topic, partitions, configs }) => using(new Admin(address), (admin) => admin.createTopics({
    topics: [topic],
    partitions,
    replicas: 1,
    configs: Object.entries(configs).map(([name, value]) => ({ name, value }))
  }).then(() => {})),

  delete_topic: ({ topic }) => using(new Admin(address), (admin) => admin.deleteTopics({ topics: [topic] })),

  create_partitions: ({ topic, partitions }) => using(new Admin(address), (admin) =>
    admin.createPartitions({ topics: [{ name: topic, count: partitions, assignments: null }] })),

  alter_topic: ({ topic, configs }) => using(new Admin(address), (admin) => admin.incrementalAlterConfigs({
    resources: [{
      resourceType: ConfigResourceTypes.TOPIC,
      resourceName: topic,
      configs: Object.entries(configs).map(([name, value]) =>
        ({ name, value, configOperation: IncrementalAlterConfigOperationTypes.SET }))
    }]
  })),

  describe_topic: ({ topic, keys }) => using(new Admin(address), async (admin) => {
    const resources = [{ resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configurationKeys: keys }]
    const [{ configs }] = await admin.describeConfigs({ resources })
    return { configs: Object.fromEntries(configs.map(({ name, value }) => [name, value])) }
  }),

  delete_records: ({ topic, partition, before }) => using(new Admin(address), (admin) => admin.deleteRecords({
    topics: [{ name: topic, partitions: [{ partition, offset: BigInt(before) }] }]
  }).then(() => {})),

  produce: ({ topic, partition, codec, acks, idempotent, records }) =>
    using(new Producer({ ...address, idempotent, autocreateTopics: true }), async (producer) => {
      const answer = await producer.send({
        acks: acks === 'all' ? -1 : Number(acks),
        compression: codec,
        messages: records.map((record) => ({
          topic,
          ...(partition === null ? {} : { partition }),
          key: fromHex(record.key),
          value: fromHex(record.value),
          // Equal names are different keys of a map as long as they are buffers.
          headers: new Map(record.headers.map(([name, value]) => [Buffer.from(name), fromHex(value)])),
          timestamp: BigInt(record.timestamp)
        }))
      })
      // All records of one call are one batch.
      const offset = (at) => acks === '0' ? -1 : Number(answer.offsets[0].offset) + at
      return { offsets: records.map((_record, at) => offset(at)) }
    }),

  consume: ({ topic, partition, from, position, end }) => {
    const client = new Consumer({ ...address, groupId: ownGroup(), groupProtocol: 'consumer', maxWaitTime: 100 })
    return using(client, async (consumer) => {
      const ends = (await consumer.listOffsets({ topics: [topic], timestamp: ListOffsetTimestamps.LATEST })).get(topic)
      let start = BigInt(position)
      if (from === 'beginning') {
        const { EARLIEST } = ListOffsetTimestamps
        start = (await consumer.listOffsets({ topics: [topic], timestamp: EARLIEST })).get(topic)[partition]
      }
      if (from === 'timestamp') {
        start = (await consumer.listOffsets({ topics: [topic], timestamp: start })).get(topic)[partition]
      }
      const offsets = ends.map((offset, of) => ({ topic, partition: of, offset: of === partition ? start : offset }))
      const stream = await consumer.consume({
        topics: [topic], mode: MessagesStreamModes.MANUAL, offsets, autocommit: false
      })
      const records = []
      const read = async () => {
        for await (const message of stream) {
          const headers = [...message.headers].map(([name, value]) => [name.toString(), value])
          records.push(stored({ ...message, headers }))
          if (records.at(-1).offset >= end - 1) return
        }
      }
      await withTimeout(read())
      return { records }
    })
  }
})
