// A plain http2 server with Node's defaults: 1 MB for every request. Arguments: the port.
import http2 from "node:http2";

const body = Buffer.alloc(1024 * 1024, "x");
const server = http2.createServer((request, response) => {
  response.setHeader("content-length", body.length);
  response.end(body);
});
server.listen(Number(process.argv[2]), "127.0.0.1");
