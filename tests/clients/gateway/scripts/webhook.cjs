// A webhook's receiver on loopback: its address, and a promise of the first message.
const { createServer } = require("node:http");

function listen() {
  return new Promise((listening) => {
    let received;
    const message = new Promise((resolve) => (received = resolve));
    const server = createServer((request, response) => {
      let body = "";
      request.on("data", (part) => (body += part));
      request.on("end", () => {
        response.end();
        server.close();
        server.closeAllConnections();
        received({ headers: request.headers, body });
      });
    });
    server.listen(0, "127.0.0.1", () => {
      listening({ address: `http://127.0.0.1:${server.address().port}/told`, message });
    });
  });
}

module.exports = { listen };
