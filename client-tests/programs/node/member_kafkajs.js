// kafkajs as a member of a group, for the contract of ../README.md.

'use strict'

const { Kafka, logLevel } = require('kafkajs')

const settings = JSON.parse(process.argv[2])
const say = (event, fields) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')

async function main () {
  const kafka = new Kafka({ clientId: 'member', brokers: [settings.bootstrap], logLevel: logLevel.NOTHING })
  const consumer = kafka.consumer({
    groupId: settings.group,
    sessionTimeout: settings.session_timeout_ms,
    heartbeatInterval: settings.heartbeat_interval_ms,
    maxWaitTimeInMs: 100,
    metadataMaxAge: 5000
  })
  const { topic } = settings
  let owned = []
  const release = () => {
    if (owned.length > 0) say('revoked', { partitions: owned })
    owned = []
  }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    release()
    owned = payload.memberAssignment[topic] || []
    say('assigned', { partitions: owned })
  })
  consumer.on(consumer.events.REBALANCING, release)
  consumer.on(consumer.events.CRASH, ({ payload }) => say('trouble', { message: String(payload.error) }))
  process.once('SIGTERM', async () => {
    await consumer.disconnect()
    release()
    process.exit(0)
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch, isRunning, isStale }) => {
      if (!isRunning() || isStale()) return
      const { partition } = batch
      for (const { offset, value } of batch.messages) {
        say('record', { partition, offset: Number(offset), value: value.toString() })
      }
      const end = Number(batch.lastOffset()) + 1
      if (!owned.includes(partition)) return
      try {
        await consumer.commitOffsets([{ topic, partition, offset: String(end) }])
        say('committed', { offsets: [[partition, end]] })
      } catch (error) {
        // The client rejoins by itself then, and fetches again from what is committed.
        say('trouble', { message: String(error) })
      }
    }
  })
}

main().catch((error) => {
  say('trouble', { message: String(error) })
  process.exit(1)
})
