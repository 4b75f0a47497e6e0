"use strict";
(() => {
  const stops = JSON.parse(document.getElementById("stops").textContent);
  const slider = document.getElementById("alpha");
  const percent = (share) => {
    if (share > 0 && share < 0.0005) return "< 0.1 %";
    return share >= 0.9995 && share < 1 ? "> 99.9 %" : (100 * share).toFixed(1) + " %";
  };
  const cards = [...document.querySelectorAll(".card")].map(makeCard);
  let current = Number(slider.value);

  function bytes(text) {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  }

  async function unpack(text, width) {
    const stream = new Blob([bytes(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
    const first = new Uint8Array(await new Response(stream).arrayBuffer());
    for (let i = width; i < first.length; i += 1) first[i] += first[i - width];
    return first;
  }

  function makeCard(element) {
    const card = { element, first: null, painted: -1, visible: false, opened: false };
    const data = JSON.parse(element.querySelector("script").textContent);
    element.querySelector("script").textContent = "";
    card.data = data;
    card.canvas = element.querySelector("canvas");
    card.before = element.querySelector("img.before");
    const delivered = element.querySelector("img.delivered");
    card.share = element.querySelector(".share");
    card.loss = element.querySelector(".loss");
    const range = element.querySelector("input");
    const select = element.querySelector("select");
    const stage = element.querySelector(".stage");
    const divider = element.querySelector(".divider");
    const left = element.querySelector(".tag.left");
    const place = () => {
      card.before.style.clipPath = `inset(0 ${100 - range.value}% 0 0)`;
      divider.style.left = `${range.value}%`;
      range.setAttribute("aria-valuetext", `${range.value} % of the width shows: ${left.textContent}`);
    };
    const choose = () => {
      left.textContent = select.selectedOptions[0].textContent;
      if (card.opened) card.before.src = data[select.value] ? "data:image/webp;base64," + data[select.value] : delivered.src;
      place();
    };
    range.addEventListener("input", place);
    select.addEventListener("change", choose);
    const drag = (event) => {
      if (!(event.buttons & 1)) return;
      const box = stage.getBoundingClientRect();
      range.value = Math.round((100 * (event.clientX - box.left)) / box.width);
      place();
    };
    stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); drag(event); });
    stage.addEventListener("pointermove", drag);
    // Otherwise the browser drags the picture itself away and sends no further pointer events.
    stage.addEventListener("dragstart", (event) => event.preventDefault());
    card.choose = choose;
    choose();
    return card;
  }

  // The scores of every picture are unpacked at once, so that printing, which waits for nothing, finds them.
  async function unpackAll() {
    for (const card of cards) {
      card.first = await unpack(card.data.first, card.data.width);
      if (card.visible) open(card);
    }
  }

  function open(card) {
    if (!card.first) return;
    if (!card.opened) {
      card.opened = true;
      const { data, canvas } = card;
      canvas.width = data.width;
      canvas.height = data.height;
      // The last squares of a mask may reach beyond the picture; the stage cuts them off.
      canvas.style.width = `${100 * data.cover[0]}%`;
      canvas.style.height = `${100 * data.cover[1]}%`;
      card.choose();
    }
    paint(card);
    card.element.dataset.ready = "yes";
  }

  function paint(card) {
    if (card.painted === current) return;
    const { width, height, pattern: [period, thick] } = card.data;
    const context = card.canvas.getContext("2d");
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const [veil, stripe] = new Uint32Array(new Uint8Array([...stops.veil, ...stops.stripe]).buffer);
    for (let y = 0, i = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1, i += 1) {
        if (card.first[i] > current) pixels[i] = (x + y) % period < thick ? stripe : veil;
      }
    }
    context.putImageData(image, 0, 0);
    card.painted = current;
    card.element.dataset.stop = String(current);
  }

  function show() {
    const alpha = stops.alphas[current];
    document.getElementById("now-alpha").textContent = stops.labels[current];
    document.getElementById("now-threshold").textContent = stops.thresholds[current];
    document.getElementById("now-share").textContent = stops.shares ? percent(stops.shares[current]) : "–";
    document.getElementById("now-statement").textContent = stops.statements[current];
    slider.setAttribute("aria-valuetext", `alpha ${stops.labels[current]}`);
    for (const line of document.querySelectorAll("line.now")) {
      const box = line.ownerSVGElement.dataset;
      const share = (alpha - Number(box.x0)) / (Number(box.x1) - Number(box.x0));
      const x = Number(box.left) + Math.min(Math.max(share, 0), 1) * (Number(box.right) - Number(box.left));
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    }
    for (const card of cards) {
      card.share.textContent = percent(card.data.shares[current]) + " trusted";
      if (card.loss && card.data.losses) card.loss.textContent = card.data.losses[current].toFixed(3);
      if (card.visible) open(card);
    }
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const card = cards.find((candidate) => candidate.element === entry.target);
      card.visible = entry.isIntersecting;
      if (card.visible) open(card);
    }
  }, { rootMargin: "400px" });
  for (const card of cards) watcher.observe(card.element);

  const unpacked = unpackAll();
  let waiting = false;
  slider.addEventListener("input", async () => {
    // Until then the pictures show the level that the page opened at, and the words must say the same.
    await unpacked;
    current = Number(slider.value);
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; show(); });
  });

  let closed = [];
  window.addEventListener("beforeprint", () => {
    show();
    for (const card of cards) open(card);
    closed = [...document.querySelectorAll("details:not(.long):not([open])")];
    for (const details of closed) details.open = true;
  });
  window.addEventListener("afterprint", () => { for (const details of closed) details.open = false; });
  document.getElementById("print").addEventListener("click", () => window.print());
  show();
  document.documentElement.classList.remove("still");
})();
