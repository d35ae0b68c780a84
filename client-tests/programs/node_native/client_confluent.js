// @confluentinc/kafka-javascript: librdkafka behind a binding of its own, built here without zstd, which it would have to
// download.

'use strict'

const { promisify } = require('node:util')
const { AdminClient, KafkaConsumer, Producer } = require('@confluentinc/kafka-javascript')
const { fromHex, ownGroup, serve, stored, withTimeout } = require('../node/contract')

const address = { 'client.id': 'client', 'bootstrap.servers': process.argv[2] }
const TIMEOUT_MS = 30_000

// What librdkafka takes for the first offset that there is.
const BEGINNING = -2

async function administer (method, ...argumentsOf) {
  const admin = AdminClient.create(address)
  try {
    await promisify(admin[method].bind(admin))(...argumentsOf)
  } finally {
    admin.disconnect()
  }
}

async function using (client, act) {
  await promisify(client.connect.bind(client))({})
  try {
    return await act(client)
  } finally {
    await promisify(client.disconnect.bind(client))()
  }
}

serve({
  create_topic: ({ topic, partitions, configs }) =>
    administer('createTopic', { topic, num_partitions: partitions, replication_factor: 1, config: configs }, TIMEOUT_MS),

  delete_topic: ({ topic }) => administer('deleteTopic', topic, TIMEOUT_MS),

  create_partitions: ({ topic, partitions }) => administer('createPartitions', topic, partitions, TIMEOUT_MS),

  delete_records: ({ topic, partition, before }) =>
    administer('deleteRecords', [{ topic, partition, offset: before }], { timeout: TIMEOUT_MS }),

  produce: ({ topic, partition, codec, acks, idempotent, records }) => {
    const producer = new Producer({
      ...address,
      acks,
      'compression.codec': codec,
      'enable.idempotence': idempotent,
      'linger.ms': 100,
      // librdkafka's own limit is smaller than the broker's.
      'message.max.bytes': 2_000_000,
      dr_cb: true
    })
    return using(producer, async () => {
      producer.setPollInterval(10)
      const offsets = new Map()
      await withTimeout(new Promise((resolve, reject) => {
        producer.on('delivery-report', (error, report) => {
          if (error) return reject(error)
          offsets.set(report.opaque, acks === '0' ? -1 : report.offset)
          if (offsets.size === records.length) resolve()
        })
        records.forEach(({ key, value, headers, timestamp }, at) => {
          const named = headers.map(([name, data]) => ({ [name]: fromHex(data) }))
          producer.produce(topic, partition, fromHex(value), fromHex(key), timestamp, at, named)
        })
      }))
      return { offsets: records.map((_record, at) => offsets.get(at)) }
    })
  },

  consume: ({ topic, partition, from, position, end }) => {
    const consumer = new KafkaConsumer({
      ...address, 'group.id': ownGroup(), 'enable.auto.commit': false
    }, { 'auto.offset.reset': 'error' })
    return using(consumer, async () => {
      let offset = from === 'beginning' ? BEGINNING : position
      if (from === 'timestamp') {
        const find = promisify(consumer.offsetsForTimes.bind(consumer))
        offset = (await find([{ topic, partition, offset: position }], TIMEOUT_MS))[0].offset
      }
      consumer.assign([{ topic, partition, offset }])
      const records = []
      const consume = promisify(consumer.consume.bind(consumer))
      const read = async () => {
        while (records.length === 0 || records.at(-1).offset < end - 1) {
          for (const message of await consume(100)) {
            const headers = (message.headers || []).flatMap((header) => Object.entries(header))
            records.push(stored({ ...message, headers }))
          }
        }
      }
      await withTimeout(read())
      return { records }
    })
  }
})
