// Talks to the server about the marks of one picture: what is stored, in which version, and who saved meanwhile.

class RefusedError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const ask = async (path, settings = {}) => {
  let answer;
  try {
    answer = await fetch(path, {cache: "no-store", ...settings});
  } catch {
    throw new RefusedError(0, "the program does not answer; start it again and then save");
  }
  if (answer.ok) return answer;
  let said = `the program answered ${answer.status}`;
  try {
    said = (await answer.json()).detail ?? said;
  } catch {
    // No JSON: the number has to do.
  }
  throw new RefusedError(answer.status, said);
};

class Stored {
  constructor(index, pair, annotator) {
    this.index = index;
    this.pair = pair;
    this.annotator = annotator;
    this.version = null;
    this.ever = false;
  }

  get address() {
    const asked = new URLSearchParams({annotator: this.annotator, pair: this.pair});
    return `pictures/${this.index}/marks?${asked}`;
  }

  // The stored levels; null where the person has saved none.
  async load() {
    const answer = await ask(this.address);
    this.version = answer.headers.get("ETag")?.replaceAll('"', "") ?? null;
    this.ever = answer.status === 200;
    return this.ever ? new Uint8Array(await answer.arrayBuffer()) : null;
  }

  async save(levels, overwrite = false) {
    const headers = {"Content-Type": "application/octet-stream", "Content-Encoding": "deflate"};
    // Of a large picture little is marked: deflated it is sent at once.
    const deflated = new Blob([levels]).stream().pipeThrough(new CompressionStream("deflate"));
    if (overwrite) headers["If-Match"] = "*";
    else if (this.version) headers["If-Match"] = `"${this.version}"`;
    const answer = await ask(this.address, {method: "PUT", headers, body: await new Response(deflated).arrayBuffer()});
    this.version = (await answer.json()).version;
    this.ever = true;
  }

  as(annotator) {
    return new Stored(this.index, this.pair, annotator);
  }
}
