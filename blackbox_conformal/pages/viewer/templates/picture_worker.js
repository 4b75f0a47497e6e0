// A picture of the run folder: its pixels come from the server when they are wanted, its marks from a worker.

function makePicture(number, [stem, name, kind, height, width]) {
  const at = new URL(`pictures/${stem}`, document.baseURI).href;
  const card = { number, stem, name, kind, height, width, block: 1, kinds: [], hasErrors: false, marks: null };
  let detail = null, worker = null, pictures = {}, opening = null;

  card.share = () => (detail ? detail.shares[level] : shares[number]);
  card.loss = () => (detail ? detail.losses && detail.losses[level] : Number.isNaN(losses[number]) ? null : losses[number]);

  card.open = () => (opening ??= begin().catch((problem) => { card.close(); throw problem; }));

  async function begin() {
    const found = await (await fetched(at)).json();
    worker = makeWorker();
    const errors = found.parts.includes("errors");
    const shared = { veil: stops.veil, heavy: stops.heavy, stripe: stops.stripe, bound: stops.bound, codes: stops.codes };
    const most = await worker("open", { shared, at, width, height, firstStops: found.firstStops, errors });
    card.kinds = ["delivered", "low", "truth"].filter((one) => found.parts.includes(one));
    card.hasClasses = card.kinds.includes("low");
    if (stops.enlarged && card.hasClasses) card.kinds.push("plain");
    card.dotted = stops.dotted && card.hasClasses;
    [card.hasErrors, card.notes, card.outside, card.certificates] = [errors, found.notes, found.outside, found.certificates];
    card.differing = found.differing;
    card.noted = kind === "result" ? found.notes.join(" ") : "";
    card.marks = {
      most, image: (request) => worker("image", request), at: (...place) => worker("at", place),
      mask: (stop) => worker("mask", stop),
    };
    detail = found;
  }

  card.picture = (kind) => (pictures[kind] ??= bitmap(`${at}/${kind === "plain" ? "shown/enlargement" : kind}`));

  card.safe = ({ level: stop, view, room }) =>
    worker("safe", { stop, outside: card.outside, inside: detail.inside[stop], shown: detail.shown[stop], view, across: room.width, down: room.height });

  card.close = () => {
    worker?.end();
    for (const picture of Object.values(pictures)) picture.then((one) => one.close(), () => {});
    [worker, pictures, opening, detail, card.marks] = [null, {}, null, null, null];
  };
  return card;
}

async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error((await answer.json().catch(() => null))?.detail ?? `the server said ${answer.status}`);
  return answer;
}

async function bitmap(address) {
  const untouched = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
  return createImageBitmap(await (await fetched(address)).blob(), untouched);
}

// A worker as a function that is asked by name and answers with a promise.
function makeWorker() {
  const worker = new Worker(new URL("assets/worker.js", document.baseURI));
  const waiting = new Map();
  let last = 0;
  worker.addEventListener("message", ({ data: { number, result, problem } }) => {
    const { done, failed } = waiting.get(number);
    waiting.delete(number);
    if (problem) failed(new Error(problem));
    else done(result);
  });
  const ask = (name, value) => new Promise((done, failed) => {
    waiting.set(++last, { done, failed });
    worker.postMessage({ number: last, name, value });
  });
  ask.end = () => {
    worker.terminate();
    for (const { failed } of waiting.values()) failed(new Error("closed"));
  };
  return ask;
}
