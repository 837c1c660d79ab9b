// An echo server of npm's `ws`. Arguments: where `ws` is, the port, and its perMessageDeflate as JSON.
const { WebSocketServer } = require(process.argv[2]);

const perMessageDeflate = JSON.parse(process.argv[4]);
const server = new WebSocketServer({ port: Number(process.argv[3]), host: "127.0.0.1", perMessageDeflate });
server.on("connection", (socket) => {
  socket.on("message", (message, isBinary) => socket.send(message, { binary: isBinary }));
});
