// The contract of ../README.md: commands in, answers out, bytes as hexadecimal.

'use strict'

const { randomUUID } = require('node:crypto')
const readline = require('node:readline')

exports.fromHex = (text) => text === null ? null : Buffer.from(text, 'hex')
const toHex = (data) => data === null || data === undefined ? null : Buffer.from(data).toString('hex')

// A record as it was read; `headers` are pairs of a name and bytes.
exports.stored = ({ topic, partition, offset, key, value, headers, timestamp }) => ({
  topic,
  partition,
  offset: Number(offset),
  key: toHex(key),
  value: toHex(value),
  headers: headers.map(([name, data]) => [name, toHex(data)]),
  timestamp: Number(timestamp)
})

// A name for a group that nobody else has, for clients that do not consume without one.
exports.ownGroup = () => `own-${randomUUID()}`

// Settles as `work` does, or fails when that takes too long.
exports.withTimeout = (work) => {
  let timer
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('no answer in 30 s')), 30_000)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

// An error with those that it is made of, and which its own words do not tell.
const told = (error) => [error.stack, ...(error.errors || []).map(told)].join('\n')

// Answers each command with the method of `client` that it names.
exports.serve = async (client) => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { do: name, ...command } = JSON.parse(line)
    let answer
    try {
      answer = await client[name](command) || {}
    } catch (error) {
      answer = { error: told(error) }
    }
    process.stdout.write(JSON.stringify(answer) + '\n')
  }
  process.exit(0)
}
