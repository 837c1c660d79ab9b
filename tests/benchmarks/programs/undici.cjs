// Does one piece of work with undici, and ends with status 1 if anything is not as it should be.
//
//     node undici.cjs PACKAGE '{"load": "requests", "url": …}': see Work in program.py
'use strict'

const fs = require('node:fs')
const { Pool, buildConnector } = require(process.argv[2])

const work = JSON.parse(process.argv[3])
const url = new URL(work.url)
const path = url.pathname + url.search
const piece = Buffer.alloc(64 * 1024)

const connect = buildConnector({ ca: fs.readFileSync(work.cafile), allowH2: !work.http1 })

// undici does not say over which version of HTTP an answer came: TLS does.
function checked (options, callback) {
  connect(options, (error, socket) => {
    const version = socket?.encrypted ? socket.alpnProtocol || 'http/1.1' : 'http/1.1'
    const wanted = work.http1 ? 'http/1.1' : 'h2'
    if (!error && version !== wanted) error = new Error(`${version} instead of ${wanted}`)
    callback(error, socket)
  })
}

const pool = new Pool(url.origin, {
  connect: checked,
  allowH2: !work.http1,
  connections: work.http1 ? work.at_once : 1,
  pipelining: work.http1 ? 1 : work.at_once
})

async function * body () {
  for (let left = work.size; left > 0; left -= piece.length) yield left < piece.length ? piece.subarray(0, left) : piece
}

async function one () {
  const upload = work.load === 'upload'
  const response = await pool.request(upload
    ? { path, method: 'POST', body: body(), headers: { 'content-length': String(work.size) } }
    : { path, method: 'GET' })
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`)
  if (upload) {
    const arrived = Number(await response.body.text())
    if (!(arrived >= work.size)) throw new Error(`${arrived} bytes arrived instead of ${work.size}`)
    return
  }
  let size = 0
  if (work.load === 'requests') {
    size = (await response.body.arrayBuffer()).byteLength
  } else {
    for await (const chunk of response.body) size += chunk.length
  }
  if (size !== work.size) throw new Error(`${size} bytes instead of ${work.size}`)
}

async function main () {
  if (work.load === 'opening') throw new Error('not measured')
  await one()
  let left = work.count - 1
  await Promise.all(Array.from({ length: work.at_once }, async () => {
    while (left-- > 0) await one()
  }))
}

main().then(() => process.exit(0), (error) => {
  console.log(String(error.cause ?? error))
  process.exit(1)
})
