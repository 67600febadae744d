// Players of videos whose panels lie beside each other in one picture, so that all of them always show the same frame;
// and curves that tell their values where one points.

const one = (name, root = document) => root.querySelector(name);
const all = (name, root = document) => [...root.querySelectorAll(name)];
const bounded = (value, low, high) => Math.min(Math.max(value, low), high);
const element = (name, text = "") => Object.assign(document.createElement(name), { textContent: text });

const LARGEST = 3; // how many pixels of the screen one of a picture takes at most
const MODES = { w: "wipe", d: "difference", s: "beside" };

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

function option(text, value) {
  return Object.assign(element("option", text), { value });
}

// What is drawn: a panel of the current frame, in pixels of the video.
function drawPanel(context, video, panel, x = 0) {
  context.drawImage(video, panel.x, panel.y, panel.width, panel.height, x, 0, panel.width, panel.height);
}

function pixelsOf(video, panel, { width, height }) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(video, panel.x, panel.y, panel.width, panel.height, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

function drawDifference(context, video, left, right, gain) {
  const size = { width: left.width, height: left.height };
  const [a, b] = [pixelsOf(video, left, size), pixelsOf(video, right, size)];
  for (let at = 0; at < a.data.length; at += 1) {
    if (at % 4 !== 3) a.data[at] = gain * Math.abs(a.data[at] - b.data[at]);
  }
  context.putImageData(a, 0, 0);
}

function drawWipe(context, video, left, right, share) {
  const cut = Math.round(share * left.width);
  drawPanel(context, video, left);
  if (cut < left.width) {
    const from = right.x + (cut / left.width) * right.width;
    context.drawImage(video, from, right.y, right.x + right.width - from, right.height, cut, 0, left.width - cut, left.height);
  }
  if (cut > 0 && cut < left.width) {
    context.fillStyle = "#fff";
    context.fillRect(cut - 1, 0, 2, left.height);
  }
}

function startPlayer(root, data) {
  const part = (name) => one(`.${name}`, root);
  const video = document.createElement("video");
  const state = { clip: 0, frame: 0, wanted: null, playing: false, ready: false, url: "" };
  const clip = () => data.clips[state.clip];
  const chosen = (name) => clip().panels[part(name).selectedIndex] ?? clip().panels[0];
  Object.assign(video, { muted: true, playsInline: true, preload: "auto" });

  function draw() {
    if (!state.ready) return;
    for (const [at, canvas] of all(".panels canvas", root).entries()) {
      drawPanel(canvas.getContext("2d"), video, clip().panels[at]);
    }
    drawStage();
    part("scrub").value = state.frame;
    part("at").textContent = `${state.frame + 1} / ${clip().frames}`;
    root.dataset.frame = state.frame;
  }

  function drawStage() {
    const [left, right, mode] = [chosen("left"), chosen("right"), part("mode").value];
    const canvas = part("large");
    const width = mode === "beside" ? left.width + right.width : left.width;
    const height = mode === "beside" ? Math.max(left.height, right.height) : left.height;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    canvas.style.maxWidth = `${LARGEST * width}px`;
    const context = canvas.getContext("2d");
    if (mode === "wipe") drawWipe(context, video, left, right, part("wipe").value / 100);
    else if (mode === "difference") drawDifference(context, video, left, right, Number(part("gain").value));
    else [[left, 0], [right, left.width]].forEach(([panel, x]) => drawPanel(context, video, panel, x));
    part("one").textContent = mode === "difference" ? `|${left.title} − ${right.title}|` : left.title;
    part("two").textContent = mode === "difference" ? "" : right.title;
    canvas.setAttribute("aria-label", `${mode}: ${left.title} and ${right.title}, frame ${state.frame + 1}`);
    part("wiping").hidden = mode !== "wipe";
    part("gaining").hidden = mode !== "difference";
  }

  // Seeking goes to the middle of a frame; what is asked for meanwhile is done afterwards.
  function seek(frame) {
    state.wanted = bounded(frame, 0, clip().frames - 1);
    if (state.ready && !video.seeking) goOn();
  }

  function goOn() {
    if (state.wanted === null) return;
    state.frame = state.wanted;
    state.wanted = null;
    video.currentTime = (state.frame + 0.5) / clip().fps;
  }

  function seeked() {
    state.ready = true;
    if (state.wanted !== null) goOn();
    else if (!state.playing) draw();
  }

  function watch() {
    if (video.requestVideoFrameCallback) {
      video.requestVideoFrameCallback((_, facts) => follow(facts.mediaTime * clip().fps));
    } else {
      requestAnimationFrame(() => follow(video.currentTime * clip().fps - 0.5));
    }
  }

  function follow(frame) {
    if (!state.playing) return;
    if (!video.seeking) {
      state.frame = bounded(Math.round(frame), 0, clip().frames - 1);
      draw();
    }
    watch();
  }

  function play(playing) {
    state.playing = playing;
    part("play").textContent = playing ? "❚❚" : "▶";
    root.dataset.playing = playing;
    if (playing) {
      video.playbackRate = Number(part("speed").value);
      watch();
      video.play().catch((error) => fail(error.message));
    } else {
      video.pause();
      seek(state.frame);
    }
  }

  function ended() {
    video.currentTime = 0;
    if (state.playing) video.play().catch((error) => fail(error.message));
  }

  function fail(message) {
    if (state.playing) play(false);
    Object.assign(part("problem"), { hidden: false, textContent: `This video cannot be played: ${message}` });
  }

  function step(frames) {
    if (state.playing) play(false);
    seek((state.wanted ?? state.frame) + frames);
  }

  function load(at, frame = 0) {
    if (state.playing) play(false);
    const before = { left: chosen("left")?.title ?? data.left, right: chosen("right")?.title ?? data.right };
    Object.assign(state, { clip: bounded(at, 0, data.clips.length - 1), ready: false, wanted: null });
    part("clip").selectedIndex = state.clip;
    part("problem").hidden = true;
    part("scrub").max = clip().frames - 1;
    fillPanels(root, clip().panels);
    for (const [name, title] of Object.entries(root.dataset.clip ? before : { left: data.left, right: data.right })) {
      part(name).replaceChildren(...clip().panels.map((panel, number) => option(panel.title, number)));
      part(name).selectedIndex = Math.max(0, clip().panels.findIndex((panel) => panel.title === title));
    }
    root.dataset.clip = state.clip;
    if (state.url) URL.revokeObjectURL(state.url);
    state.url = URL.createObjectURL(new Blob([bytesOf(document.getElementById(`${root.id}-${state.clip}`).textContent)], { type: "video/mp4" }));
    video.src = state.url;
    state.first = frame;
  }

  function keys(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || one("dialog", root).open) return;
    const typing = event.target.matches("select, input");
    const pressing = event.target.matches("button, summary, a");
    const wipe = (by) => { part("wipe").value = Number(part("wipe").value) + by; draw(); };
    const actions = {
      " ": () => play(!state.playing),
      ArrowLeft: () => step(event.shiftKey ? -10 : -1),
      ArrowRight: () => step(event.shiftKey ? 10 : 1),
      Home: () => step(-Infinity),
      End: () => step(Infinity),
      ArrowUp: () => load(state.clip - 1),
      ArrowDown: () => load(state.clip + 1),
      ",": () => wipe(-5),
      ".": () => wipe(5),
      "?": () => one("dialog", root).showModal(),
    };
    for (const [key, mode] of Object.entries(MODES)) actions[key] = () => { part("mode").value = mode; draw(); };
    const own = event.key.length > 1 && typing ? false : !(pressing && event.key === " ") && !event.target.matches("select");
    if (!own || !(event.key in actions)) return;
    event.preventDefault();
    actions[event.key]();
  }

  function drag(event) {
    if (part("mode").value !== "wipe" || !(event.buttons & 1)) return;
    const canvas = part("large");
    const box = canvas.getBoundingClientRect();
    const width = Math.min(box.width, (box.height * canvas.width) / canvas.height);
    const left = box.left + (box.width - width) / 2;
    part("wipe").value = (100 * (event.clientX - left)) / width;
    draw();
  }

  video.addEventListener("loadeddata", () => { state.ready = true; seek(state.first); });
  video.addEventListener("seeked", seeked);
  video.addEventListener("ended", ended);
  video.addEventListener("error", () => fail(video.error?.message || "the browser does not know its format"));
  part("clip").replaceChildren(...data.clips.map((item, at) => option(item.name, at)));
  part("clip").addEventListener("change", () => load(part("clip").selectedIndex));
  for (const name of ["left", "right", "mode"]) part(name).addEventListener("change", draw);
  part("wipe").addEventListener("input", draw);
  part("gain").addEventListener("input", () => { part("times").textContent = `${part("gain").value} ×`; draw(); });
  part("speed").addEventListener("change", () => { video.playbackRate = Number(part("speed").value); });
  part("scrub").addEventListener("input", () => { if (state.playing) play(false); seek(Number(part("scrub").value)); });
  part("play").addEventListener("click", () => play(!state.playing));
  part("back").addEventListener("click", () => step(-1));
  part("on").addEventListener("click", () => step(1));
  part("help").addEventListener("click", () => one("dialog", root).showModal());
  part("large").addEventListener("pointerdown", (event) => { event.target.setPointerCapture(event.pointerId); drag(event); });
  part("large").addEventListener("pointermove", drag);
  root.addEventListener("keydown", keys);
  root.hidden = false;
  load(0);
  return { load };
}

function fillPanels(root, panels) {
  one(".panels", root).replaceChildren(...panels.map((panel) => {
    const figure = element("figure");
    const canvas = Object.assign(element("canvas"), { width: panel.width, height: panel.height });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", panel.title);
    figure.append(canvas, element("figcaption", panel.title));
    return figure;
  }));
}

// Curves: the nearest of the drawn places, and what every series has there.
function nearest(places, x) {
  return places.reduce((best, place, at) => (Math.abs(place - x) < Math.abs(places[best] - x) ? at : best), 0);
}

function startCurve(figure) {
  const source = one("script", figure);
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const [drawing, cursor, title] = [one(".drawing", figure), one(".cursor", figure), one("figcaption", figure)];
  const outputs = all("output", figure);
  const [heading, last] = [title.textContent, outputs.map((output) => output.textContent)];

  function point(event) {
    const box = drawing.getBoundingClientRect();
    const at = nearest(data.places, (event.clientX - box.left) / box.width);
    title.textContent = `${heading}, ${data.name} ${data.x[at]}`;
    outputs.forEach((output, series) => { output.textContent = data.series[series][at] ?? "–"; });
    cursor.hidden = false;
    Object.assign(cursor.style, { left: `${100 * data.places[at]}%`, top: `${100 * data.top}%`, height: `${100 * data.height}%` });
  }

  function leave() {
    cursor.hidden = true;
    title.textContent = heading;
    outputs.forEach((output, series) => { output.textContent = last[series]; });
  }

  drawing.addEventListener("pointermove", point);
  drawing.addEventListener("pointerdown", point);
  drawing.addEventListener("pointerleave", leave);
}

const players = new Map();
for (const source of all("script.player-data")) {
  const root = document.getElementById(source.dataset.player);
  players.set(root.id, startPlayer(root, JSON.parse(source.textContent)));
}
for (const figure of all("figure.curve")) startCurve(figure);
for (const button of all("button.jump")) {
  button.addEventListener("click", () => {
    const root = document.getElementById(button.dataset.player);
    players.get(root.id).load(Number(button.dataset.clip));
    root.scrollIntoView({ block: "start" });
    root.focus({ preventScroll: true });
  });
}
