// Node's own HTTP/2 server, with the `ws` package for the WebSockets: over HTTP/1.1 by Upgrade, over HTTP/2 by
// extended CONNECT, as Node's documentation of `enableConnectProtocol` shows. ws itself speaks HTTP/1.1 only, so an
// HTTP/2 stream is given to the class that ws uses for a socket after the handshake.
import fs from 'node:fs';
import http2 from 'node:http2';
import { createRequire } from 'node:module';

const [port, certificate, key, modules] = process.argv.slice(2);
const require = createRequire(modules + '/');
const { WebSocket, WebSocketServer } = require('ws');

const server = http2.createSecureServer({
  allowHTTP1: true,
  cert: fs.readFileSync(certificate),
  key: fs.readFileSync(key),
  settings: { enableConnectProtocol: true },
});
const choose = (offered) => [...offered].at(-1) ?? false;
const wss = new WebSocketServer({ noServer: true, perMessageDeflate: true, handleProtocols: choose });

function echo(ws) {
  ws.on('message', (data, binary) => {
    if (!binary && data.toString() === 'bye') ws.close(4001, 'as you wish');
    else ws.send(data, { binary });
  });
}

server.on('request', (request, response) => {
  const path = request.url;
  if (path.startsWith('/bytes/')) {
    let left = Number(path.slice(7));
    response.writeHead(200, { 'content-length': left });
    const piece = Buffer.alloc(65536, 'x');
    const more = () => {
      while (left > 0) {
        const size = Math.min(left, piece.length);
        left -= size;
        if (!response.write(piece.subarray(0, size))) return void response.once('drain', more);
      }
      response.end();
    };
    more();
  } else if (path === '/upload') {
    let count = 0;
    request.on('data', (data) => (count += data.length));
    request.on('end', () => response.end(String(count)));
  } else if (path === '/') {
    response.end(`hello over HTTP/${request.httpVersion}`);
  } else {
    response.writeHead(404).end();
  }
});

server.on('upgrade', (request, socket, head) => {
  if (request.url === '/ws') wss.handleUpgrade(request, socket, head, echo);
  else socket.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n');
});

server.on('connect', ({ stream, headers }) => {
  stream.on('error', () => {});
  if (headers[':path'] !== '/ws') {
    stream.respond({ ':status': 403 }, { endStream: true });
    return;
  }
  const answer = { ':status': 200 };
  const offered = headers['sec-websocket-protocol'];
  if (offered) answer['sec-websocket-protocol'] = offered.split(',').at(-1).trim();
  stream.respond(answer);
  stream.setNoDelay = stream.setKeepAlive = () => {};
  const ws = new WebSocket(null, undefined, { autoPong: true });
  ws.setSocket(stream, Buffer.alloc(0), { maxPayload: 100 * 1024 * 1024, skipUTF8Validation: false });
  echo(ws);
});

server.listen(Number(port), '127.0.0.1');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
