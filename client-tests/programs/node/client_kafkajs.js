// kafkajs, which never uses flexible versions. It has no codec but gzip, and consumes in a group only.

'use strict'

const { CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = require('kafkajs')
const { fromHex, ownGroup, serve, stored, withTimeout } = require('./contract')

const kafka = new Kafka({ clientId: 'client', brokers: [process.argv[2]], logLevel: logLevel.NOTHING })
const CODECS = { none: CompressionTypes.None, gzip: CompressionTypes.GZIP }

async function administer (act) {
  const admin = kafka.admin()
  await admin.connect()
  try {
    return await act(admin)
  } finally {
    await admin.disconnect()
  }
}

// It takes headers as an object, whose values are lists where a name repeats.
function headersOf (record) {
  const headers = {}
  for (const [name, value] of record.headers) (headers[name] ||= []).push(fromHex(value))
  return headers
}

serve({
  create_topic: ({ topic, partitions, configs }) => administer((admin) => admin.createTopics({
    topics: [{
      topic,
      numPartitions: partitions,
      replicationFactor: 1,
      configEntries: Object.entries(configs).map(([name, value]) => ({ name, value }))
    }]
  }).then(() => {})),

  delete_topic: ({ topic }) => administer((admin) => admin.deleteTopics({ topics: [topic] })),

  create_partitions: ({ topic, partitions }) => administer((admin) =>
    admin.createPartitions({ topicPartitions: [{ topic, count: partitions }] }).then(() => {})),

  alter_topic: ({ topic, configs }) => administer((admin) => {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }]
    return admin.alterConfigs({ validateOnly: false, resources }).then(() => {})
  }),

  describe_topic: ({ topic, keys }) => administer(async (admin) => {
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: keys }]
    const answer = await admin.describeConfigs({ includeSynonyms: false, resources })
    const entries = answer.resources[0].configEntries.map(({ configName, configValue }) => [configName, configValue])
    return { configs: Object.fromEntries(entries) }
  }),

  delete_records: ({ topic, partition, before }) => administer(async (admin) => {
    // It deletes from topics only that it has asked about before.
    await admin.fetchTopicOffsets(topic)
    await admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] })
  }),

  produce: async ({ topic, partition, codec, acks, idempotent, records }) => {
    const producer = kafka.producer({ idempotent })
    await producer.connect()
    const answers = await producer.send({
      topic,
      acks: acks === 'all' ? -1 : Number(acks),
      compression: CODECS[codec],
      messages: records.map((record) => ({
        partition,
        key: fromHex(record.key),
        value: fromHex(record.value),
        headers: headersOf(record),
        timestamp: String(record.timestamp)
      }))
    })
    await producer.disconnect()
    // All records of one call are one batch.
    const offset = (at) => acks === '0' ? -1 : Number(answers[0].baseOffset) + at
    return { offsets: records.map((_record, at) => offset(at)) }
  },

  consume: async ({ topic, partition, from, position, end }) => {
    let start = String(position)
    if (from === 'timestamp') {
      const places = await administer((admin) => admin.fetchTopicOffsetsByTimestamp(topic, position))
      start = places.find((place) => place.partition === partition).offset
    }
    const consumer = kafka.consumer({ groupId: ownGroup(), maxWaitTimeInMs: 100 })
    await consumer.connect()
    await consumer.subscribe({ topics: [topic], fromBeginning: true })
    const records = []
    const complete = new Promise((resolve, reject) => {
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
      consumer.run({
        autoCommit: false,
        eachMessage: async ({ partition: of, message }) => {
          // It reads from the beginning until the seek takes effect.
          const begins = from === 'beginning' || Number(message.offset) === Number(start)
          const isNext = records.length > 0 ? Number(message.offset) === records.at(-1).offset + 1 : begins
          if (of !== partition || !isNext) return
          const headers = Object.entries(message.headers).flatMap(([name, values]) =>
            [values].flat().map((value) => [name, value]))
          records.push(stored({ ...message, topic, partition, headers }))
          if (records.at(-1).offset >= end - 1) resolve()
        }
      }).catch(reject)
      if (from !== 'beginning') consumer.seek({ topic, partition, offset: start })
    })
    try {
      await withTimeout(complete)
    } finally {
      await consumer.disconnect()
    }
    return { records }
  }
})
