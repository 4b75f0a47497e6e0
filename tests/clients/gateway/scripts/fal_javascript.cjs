// What fal's JavaScript client makes of a gateway, as JSON; its address is given as the client's proxy.
// Arguments: the address, that of a gateway whose budget is spent, a picture's file, a way on which an answer is lost.
const { readFile } = require("node:fs/promises");
const { listen } = require("./webhook.cjs");
const { createFalClient } = require("@fal-ai/client");

const APPLICATION = "any/blackbox-conformal";
const [address, spent, file, losing] = process.argv.slice(2);

function clientOf(gateway) {
  return createFalClient({ credentials: "made-up", proxyUrl: { url: `${gateway}/fal/proxy`, when: "always" } });
}

async function raised(call) {
  try {
    return { none: await call() };
  } catch (error) {
    const problems = error.fieldErrors === undefined ? null : error.fieldErrors.map((problem) => problem.msg);
    return { class: error.name, status: error.status, problems, body: error.body };
  }
}

async function main() {
  const fal = clientOf(address);
  const blob = new Blob([await readFile(file)], { type: "image/png" });
  const image_url = `data:image/png;base64,${(await readFile(file)).toString("base64")}`;
  const lost = await clientOf(losing).run(APPLICATION, { input: { image_url } });
  const statuses = { polling: [], streaming: [] };
  const subscribed = {};
  for (const mode of Object.keys(statuses)) {
    subscribed[mode] = await fal.subscribe(APPLICATION, {
      // The client uploads a Blob, and sends its link.
      input: { image_url: blob, scale: 4 },
      mode,
      logs: true,
      pollInterval: 50,
      onQueueUpdate: (status) => statuses[mode].push(status.status),
    });
  }
  const webhook = await listen();
  const queued = await fal.queue.submit(APPLICATION, { input: { image_url }, webhookUrl: webhook.address });
  const told = {
    lost,
    run: await fal.run(APPLICATION, { input: { image_url } }),
    subscribed,
    statuses,
    queued,
    unknown: await raised(() => fal.run(APPLICATION, { input: { image_url, face_enhance: true } })),
    spent: await raised(() => clientOf(spent).run(APPLICATION, { input: { image_url } })),
    strict: await raised(() =>
      fal.queue.submit(APPLICATION, {
        input: { image_url, seedable: false },
        headers: { Prefer: "handling=strict" },
      }),
    ),
    kept: await raised(() =>
      fal.run(APPLICATION, { input: { image_url }, storageSettings: { expiresIn: "1h" } }),
    ),
  };
  await fal.queue.subscribeToStatus(APPLICATION, { requestId: queued.request_id });
  told.result = await fal.queue.result(APPLICATION, { requestId: queued.request_id });
  told.late = await raised(() => fal.queue.cancel(APPLICATION, { requestId: queued.request_id }));
  told.message = await webhook.message;
  console.log(JSON.stringify(told));
}

main();
