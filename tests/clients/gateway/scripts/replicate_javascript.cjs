// What Replicate's JavaScript client makes of a gateway, as JSON.
// Arguments: the address, that of a gateway whose budget is spent, a picture's file.
const { readFile } = require("node:fs/promises");
const { listen } = require("./webhook.cjs");
const Replicate = require("replicate");

const MODEL = "any/blackbox-conformal";
const [address, spent, file] = process.argv.slice(2);

function clientOf(gateway) {
  return new Replicate({ auth: "made-up", baseUrl: `${gateway}/v1` });
}

async function raised(call) {
  try {
    return { none: await call() };
  } catch (error) {
    return { class: error.name, status: error.response?.status, message: error.message };
  }
}

async function bytes(output) {
  return Buffer.from(await (await output.blob()).arrayBuffer()).toString("base64");
}

async function main() {
  const replicate = clientOf(address);
  const image = await readFile(file);
  const data = `data:image/png;base64,${image.toString("base64")}`;
  const seen = [];
  const told = {
    // The client uploads a Buffer, and sends its link. The vendor takes longer than it waits.
    blocking: await bytes(await replicate.run(MODEL, { input: { image }, wait: { mode: "block", timeout: 1 } })),
    polling: await bytes(
      await replicate.run(MODEL, { input: { image: data }, wait: { mode: "poll", interval: 50 } }, (prediction) =>
        seen.push(prediction.status),
      ),
    ),
    seen,
    unknown: await raised(() => replicate.run(MODEL, { input: { image, face_enhance: true } })),
    spent: await raised(() => clientOf(spent).run(MODEL, { input: { image } })),
  };
  const webhook = await listen();
  const begun = await replicate.predictions.create({
    model: MODEL,
    input: { image },
    webhook: webhook.address,
    webhook_events_filter: ["completed"],
  });
  told.waited = await replicate.wait(begun, { interval: 50 });
  const message = await webhook.message;
  const secret = (await replicate.webhooks.default.secret.get()).key;
  told.valid = await Replicate.validateWebhook(message, secret);
  told.forged = await Replicate.validateWebhook({ ...message, body: `${message.body} ` }, secret);
  told.message = JSON.parse(message.body);
  console.log(JSON.stringify(told));
}

main();
