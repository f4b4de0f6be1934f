const data = JSON.parse(document.getElementById("data").textContent);
const $ = (name) => document.getElementById(name);
const colours = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const still = matchMedia("(prefers-reduced-motion: reduce)");
const last = data.steps.length - 1;
const SECONDS = 14; // a whole training at speed 1
const updates = []; // what is brought up to date for a snapshot
const SVG = "http://www.w3.org/2000/svg";

function made(name, attributes = {}, ...inside) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...inside);
  return element;
}

function drawn(name, attributes = {}, text = "") {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

const percent = (share) => `${(100 * share).toFixed(1)}\u202f%`;
const thousands = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/* Playback: `place` is a snapshot's number, between two while the ball rolls. */
const state = { place: 0, shown: -1, playing: false, before: 0 };
const mountain = new Mountain($("mountain"), data.mountain, colours);

function show(place, spoken = false) {
  state.place = Math.min(last, Math.max(0, place));
  mountain.draw(state.place);
  const k = Math.floor(state.place + 1e-6);
  if (k !== state.shown) {
    state.shown = k;
    for (const update of updates) update(k);
  }
  if (spoken) $("spoken").textContent = inWords(k);
}

function inWords(k) {
  const right = data.accuracy.length ? `, accuracy ${percent(data.accuracy[k])}` : "";
  return `Step ${data.steps[k]}, error ${short(data.loss[k])}${right}`;
}

function play(playing) {
  if (playing && state.place >= last) show(0);
  state.playing = playing;
  state.before = performance.now();
  $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  $("sign").setAttribute("d", playing ? "M4 3h4v14H4zM12 3h4v14h-4z" : "M5 2.5l12 7.5-12 7.5z");
  if (playing) frame(state.before);
  else if (state.shown >= 0) $("spoken").textContent = inWords(state.shown);
}

const perSecond = () => Number($("speed").value) * Math.max(1.2, last / SECONDS);

function frame(now) {
  if (!state.playing) return;
  if (still.matches) return void tick();
  show(state.place + perSecond() * Math.min(0.2, (now - state.before) / 1000));
  state.before = now;
  if (state.place >= last) play(false);
  else requestAnimationFrame(frame);
}

/** Without motion: from snapshot to snapshot, with time to look. */
function tick() {
  setTimeout(() => {
    if (!state.playing) return;
    show(Math.floor(state.place + 1e-6) + 1);
    if (state.place >= last) play(false);
    else if (still.matches) tick();
    else frame((state.before = performance.now()));
  }, Math.max(400, 1000 / perSecond()));
}

function step(by) {
  play(false);
  show(by > 0 ? Math.floor(state.place + 1e-6) + by : Math.ceil(state.place - 1e-6) + by, true);
}

function turn(by) {
  mountain.yaw += by;
  mountain.paint();
}

function faster(by) {
  const speed = $("speed");
  speed.selectedIndex = Math.min(speed.length - 1, Math.max(0, speed.selectedIndex + by));
}

$("play").onclick = () => play(!state.playing);
$("back").onclick = () => step(-1);
$("on").onclick = () => step(1);
$("left").onclick = () => turn(-Math.PI / 8);
$("right").onclick = () => turn(Math.PI / 8);
$("scrub").max = last;
$("scrub").oninput = (event) => { play(false); show(Number(event.target.value), false); };

const KEYS = {
  " ": () => play(!state.playing), ArrowLeft: () => step(-1), ArrowRight: () => step(1),
  Home: () => step(-Infinity), End: () => step(Infinity),
  "+": () => faster(1), "-": () => faster(-1), "[": () => turn(-Math.PI / 8),
  "]": () => turn(Math.PI / 8),
};
addEventListener("keydown", (event) => {
  const own = event.target.closest("select, summary, a, .formulas, .table")
    || (event.key === " " && event.target.closest("button"));
  if (own || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

let held = null;
$("mountain").onpointerdown = (event) => {
  held = { x: event.clientX, y: event.clientY, yaw: mountain.yaw, pitch: mountain.pitch };
  event.target.setPointerCapture(event.pointerId);
};
$("mountain").onpointermove = (event) => {
  if (!held) return;
  mountain.yaw = held.yaw + (event.clientX - held.x) / 160;
  const pitch = held.pitch + (event.clientY - held.y) / 300;
  if (event.pointerType === "mouse") mountain.pitch = Math.min(1.3, Math.max(0.3, pitch));
  mountain.paint();
};
$("mountain").onpointerup = $("mountain").onpointercancel = () => { held = null; };

/* The numbers of now. */
function reading(name, words, value, note) {
  const number = document.createTextNode(""), small = made("small");
  $("now").append(made("div", {}, made("dt", {}, words), made("dd", { id: name }, number, small)));
  updates.push((k) => { number.data = value(k); small.textContent = note(k); });
}
const held_out = data.validation_loss.length > 0;
reading("error", "Error (loss)", (k) => short(data.loss[k]),
  (k) => (held_out ? `validation ${short(data.validation_loss[k])}` : ""));
if (data.accuracy.length) {
  reading("accuracy", "Accuracy", (k) => percent((held_out ? data.validation_accuracy
    : data.accuracy)[k]), (k) => (held_out ? `validation; training ${percent(data.accuracy[k])}` : ""));
}
reading("step", "Step", (k) => thousands(data.steps[k]), () => `of ${thousands(data.steps[last])}`);
updates.push((k) => {
  $("scrub").value = k;
  $("scrub").setAttribute("aria-valuetext", inWords(k));
  $("place").textContent = `step ${thousands(data.steps[k])}`;
  $("mountain").setAttribute("aria-label",
    `The loss as a mountain, the training as a ball that rolls down. ${inWords(k)}`);
});

/* Curves over the steps, with the place marked, as wide as there is room. */
const curves = [];
class Curve {
  constructor(title, lines, spell, logarithmic) {
    Object.assign(this, { lines, spell, logarithmic });
    this.level = logarithmic ? Math.log10 : (value) => value;
    const values = lines.flatMap((line) => line.values).filter((value) => value !== null);
    [this.low, this.high] = [Math.min(...values), Math.max(...values)].map(this.level);
    if (!logarithmic && this.low > 0 && this.low < 0.6 * this.high) this.low = 0;
    if (this.high === this.low) [this.low, this.high] = [this.low - 1, this.high + 1];
    this.picture = drawn("svg", { role: "img", "aria-label": `${title} over the steps` });
    this.picture.onpointerdown = this.picture.onpointermove = (event) => this.go(event);
    const names = lines.map(({ name, colour }) =>
      made("span", { style: `--own: var(${colour})` }, name));
    $("curves").append(made("figure", { class: "curve" },
      made("figcaption", {}, made("b", {}, title), ...names), this.picture));
    curves.push(this);
    updates.push((k) => this.mark(k));
  }

  x(k) {
    return 46 + (this.width - 54) * (data.steps[k] - data.steps[0])
      / Math.max(1, data.steps[last] - data.steps[0]);
  }

  y(value) {
    return 8 + (this.height - 30) * (this.high - this.level(value)) / (this.high - this.low);
  }

  layout() {
    this.width = Math.max(160, this.picture.parentNode.clientWidth);
    this.height = Math.round(Math.min(190, Math.max(130, 0.42 * this.width)));
    const { width, height } = this, floor = height - 22;
    this.picture.replaceChildren();
    this.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const at of ticks(this.low, this.high, this.logarithmic)) {
      const y = this.y(at);
      this.picture.append(drawn("line", { class: "grid", x1: 46, x2: width - 8, y1: y, y2: y }),
        drawn("text", { x: 40, y: y + 4, "text-anchor": "end" }, this.spell(at)));
    }
    this.cursor = drawn("line", { class: "cursor", y1: 4, y2: floor });
    this.picture.append(drawn("text", { x: 46, y: height - 4 }, thousands(data.steps[0])),
      drawn("text", { x: width - 8, y: height - 4, "text-anchor": "end" },
        `${thousands(data.steps[last])} steps`), this.cursor);
    this.parts = this.lines.map(({ values, colour }) => {
      const group = drawn("g", { style: `--own: var(${colour})` });
      const later = drawn("path", { class: "later", d: this.through(values, last) });
      const part = { values, past: drawn("path"), dot: drawn("circle", { r: 4 }) };
      group.append(later, part.past, part.dot);
      this.picture.append(group);
      return part;
    });
    if (state.shown >= 0) this.mark(state.shown);
  }

  through(values, end) {
    return values.slice(0, end + 1).map((value, k) => (value === null ? ""
      : `${k && values[k - 1] !== null ? "L" : "M"}${this.x(k).toFixed(1)} ${this.y(value).toFixed(1)}`
    )).join("");
  }

  mark(k) {
    this.cursor.setAttribute("x1", this.x(k));
    this.cursor.setAttribute("x2", this.x(k));
    for (const { values, past, dot } of this.parts) {
      past.setAttribute("d", this.through(values, k));
      dot.setAttribute("cx", this.x(k));
      dot.setAttribute("cy", values[k] === null ? -99 : this.y(values[k]));
    }
  }

  /** To the snapshot under the pointer. */
  go(event) {
    if (!(event.buttons & 1)) return;
    const at = event.clientX - this.picture.getBoundingClientRect().left;
    const away = (k) => Math.abs(this.x(k) - at);
    play(false);
    show(data.steps.reduce((best, _, k) => (away(k) < away(best) ? k : best), 0));
  }
}

function pair(name) {
  const lines = [{ name: "training", values: data[name], colour: "--accent" }];
  const other = data[`validation_${name}`];
  return other.length ? [...lines, { name: "validation", values: other, colour: "--second" }] : lines;
}
const errors = [...data.loss, ...data.validation_loss].filter((value) => value !== null);
const wide = Math.min(...errors) > 0 && Math.max(...errors) > 10 * Math.min(...errors);
new Curve(wide ? "Error, log scale" : "Error", pair("loss"), plain, wide);
if (data.accuracy.length) {
  new Curve("Accuracy", pair("accuracy"), (value) => `${Number((100 * value).toPrecision(4))} %`, false);
}

/* Layers: their formulas, with the numbers of the step. */
const buttons = [...document.querySelectorAll("#network button")];
const panels = buttons.map((button) => $(button.getAttribute("aria-controls")));
function choose(chosen) {
  buttons.forEach((button, k) => {
    button.setAttribute("aria-pressed", String(k === chosen));
    panels[k].hidden = k !== chosen;
  });
}
buttons.forEach((button, k) => {
  button.onpointerenter = button.onfocus = button.onclick = () => choose(k);
});
choose(buttons.length - 1);

const largest = (k) => Math.max(...data.layers.map((layer) => layer.delta[k]), 1e-300);
data.layers.forEach((layer, n) => {
  const [bar, told] = [".bar", ".told"].map((name) => buttons[n].querySelector(name));
  updates.push((k) => {
    bar.style.transform = `scaleX(${(layer.delta[k] || 0) / largest(k)})`;
    told.textContent = short(layer.delta[k]);
  });
});
for (const row of document.querySelectorAll("[data-series]")) {
  const values = data.series[Number(row.dataset.series)];
  const top = Math.max(...values.filter((value) => value !== null), 1e-300);
  const [value, way] = row.querySelectorAll("td");
  const picture = drawn("svg", { viewBox: "0 0 100 20", preserveAspectRatio: "none",
    "aria-hidden": "true" });
  const x = (k) => (100 * k) / Math.max(1, last), y = (at) => 19 - 18 * (at || 0) / top;
  const mark = drawn("line", { y1: 0, y2: 20 });
  picture.append(drawn("path", {
    d: values.map((at, k) => `${k ? "L" : "M"}${x(k).toFixed(1)} ${y(at).toFixed(2)}`).join("") }), mark);
  way.append(picture);
  updates.push((k) => {
    value.textContent = short(values[k]);
    mark.setAttribute("x1", x(k));
    mark.setAttribute("x2", x(k));
  });
}

/* Pictures of numbers: one canvas pixel each. */
function pixels(canvas, [height, width], colour) {
  Object.assign(canvas, { width, height });
  const pen = canvas.getContext("2d"), image = pen.createImageData(width, height);
  for (let k = 0; k < width * height; k++) image.data.set([...colour(k), 255], 4 * k);
  pen.putImageData(image, 0, 0);
}

function triple(name) {
  return colours(name).split(" ").map(Number);
}

/** Colours of numbers from −1 (one hue) over 0 (the page's) to 1 (the other). */
function diverging() {
  const [zero, positive, negative] = ["--zero", "--positive", "--negative"].map(triple);
  return (value) => {
    const end = value < 0 ? negative : positive, t = Math.min(1, Math.abs(value)) ** 0.8;
    return zero.map((from, c) => from + t * (end[c] - from));
  };
}

const repaint = []; // what a change of colours concerns
function painted(update) {
  updates.push(update);
  repaint.push(() => update(state.shown));
}

/* The first layer's weights. */
const W = data.weights;
if (W) {
  const all = bytes(W.data), signed = new Int8Array(all.buffer), size = W.shape[0] * W.shape[1];
  $("weights-title").textContent = W.title;
  $("weights-hint").textContent = W.words;
  const canvases = Array.from({ length: W.count }, (_, n) => made("canvas",
    { role: "img", "aria-label": W.count > 1 ? `Weights of unit ${n + 1}` : "Weights" }));
  $("weights").classList.toggle("whole", W.count === 1);
  $("weights").append(...canvases);
  if (W.count === 1) canvases[0].style.maxWidth = `${3 * W.shape[1]}rem`;
  $("weights").after(made("div", { class: "scale" }, `−${short(W.scale)}`, made("i"), short(W.scale)));
  painted((k) => {
    const colour = diverging();
    canvases.forEach((canvas, n) => pixels(canvas, W.shape,
      (p) => colour(signed[(k * W.count + n) * size + p] / 127)));
  });
} else $("weights-section").remove();

/* Samples, with the prediction at the step. */
const S = data.samples;
$("samples-hint").textContent = S.words;
if (S.kind === "classes") {
  const images = S.images && bytes(S.images), size = images && S.shape[0] * S.shape[1];
  S.targets.forEach((target, n) => {
    const figure = made("figure", { class: "sample" });
    const best = made("b"), sure = made("span"), bars = made("div", { class: "bars" });
    const marks = S.names.map((_, c) => made("i", c === target ? { class: "true" } : {}));
    bars.append(...marks);
    bars.setAttribute("aria-hidden", "true");
    if (images) {
      const canvas = made("canvas", { role: "img", "aria-label": `Sample: ${S.names[target]}` });
      pixels(canvas, S.shape, (p) => [0, 1, 2].map(() => images[n * size + p]));
      figure.append(canvas);
    }
    figure.append(made("div", { class: "answer" }, best, sure), bars);
    $("samples").append(figure);
    updates.push((k) => {
      const shares = S.predictions[k][n], top = shares.indexOf(Math.max(...shares));
      best.textContent = S.names[top];
      sure.textContent = top !== target ? `✗ is ${S.names[target]}`
        : S.shares ? `✓ ${Math.round(shares[top] / 10)} %` : "✓";
      figure.classList.toggle("right", top === target);
      const low = S.shares ? 0 : Math.min(...shares), high = S.shares ? 1000 : Math.max(...shares);
      marks.forEach((bar, c) => {
        bar.classList.toggle("top", c === top);
        const tall = (shares[c] - low) / (high - low || 1);
        bar.style.transform = `scaleY(${Math.max(0.03, tall)})`;
      });
    });
  });
} else if (S.kind === "map" || S.kind === "line") {
  const canvas = made("canvas", { class: S.kind, role: "img", "aria-label": S.title });
  $("samples").replaceWith(canvas);
  const paint = () => (S.kind === "map" ? drawMap : drawLine)(canvas, Math.max(0, state.shown));
  painted(paint);
  whenSized(canvas, paint);
} else {
  const body = made("tbody");
  const head = made("tr", {}, ...["sample", "target", "prediction"].map((name) =>
    made("th", { scope: "col" }, name)), made("th", { scope: "col", class: "miss" }, "error"));
  $("samples").replaceWith(made("div",
    { class: "table", tabindex: "0", role: "group", "aria-label": S.title },
    made("table", { class: "values" }, made("thead", {}, head), body)));
  const misses = S.predictions.flatMap((now) => now.map((row, n) => miss(row, S.targets[n])));
  const worst = Math.max(...misses, 1e-300);
  S.targets.forEach((target, n) => {
    const [told, bar] = [made("td"), made("i")];
    body.append(made("tr", {}, made("td", {}, S.inputs[n]),
      made("td", {}, target.map((value) => short(value)).join(", ")), told,
      made("td", { class: "miss" }, bar)));
    updates.push((k) => {
      told.textContent = S.predictions[k][n].map((value) => short(value)).join(", ");
      bar.style.transform = `scaleX(${miss(S.predictions[k][n], target) / worst})`;
    });
  });
}

/** A canvas's pen, with its pixels those of the screen. */
function fitted(canvas) {
  const { width, height } = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  return { pen, width, height };
}

/** The prediction over two inputs, and the samples on it. */
function drawMap(canvas, k) {
  const { pen, width, height } = fitted(canvas), colour = diverging();
  const zero = triple("--zero"), values = bytes(S.values[k]);
  const hue = (c) => triple(`--class-${c % 8}`);
  const field = document.createElement("canvas");
  pixels(field, [S.n, S.n], (p) => {
    const value = values[(S.n - 1 - Math.floor(p / S.n)) * S.n + p % S.n];
    if (!S.classes) return colour(value / 127.5 - 1);
    const share = 0.12 + 0.5 * (value % 16) / 15;
    return zero.map((from, c) => from + share * (hue(value >> 4)[c] - from));
  });
  pen.drawImage(field, 0, 0, width, height);
  for (const [x, y, target] of S.points) {
    const [r, g, b] = S.classes ? hue(target) : colour(2 * target - 1);
    pen.fillStyle = `rgb(${r} ${g} ${b})`;
    pen.strokeStyle = colours("--ink");
    pen.lineWidth = 0.8;
    pen.beginPath();
    pen.arc(x * width, (1 - y) * height, 3.2, 0, 7);
    pen.fill();
    pen.stroke();
  }
}

/** The prediction over one input, and the samples about it. */
function drawLine(canvas, k) {
  const { pen, width, height } = fitted(canvas);
  const spot = ([x, y]) => [12 + x * (width - 24), height - 22 - y * (height - 32)];
  pen.font = `12px ${colours("--sans")}`;
  pen.fillStyle = colours("--muted");
  const [x0, x1, y0, y1] = S.range.map((value) => short(value, 2));
  pen.fillText(x0, 12, height - 4);
  pen.fillText(y1, 4, 14);
  pen.fillText(y0, 4, height - 18);
  pen.textAlign = "right";
  pen.fillText(x1, width - 12, height - 4);
  pen.fillStyle = colours("--second");
  pen.globalAlpha = 0.6;
  for (const point of S.points) {
    pen.beginPath();
    pen.arc(...spot(point), 2.6, 0, 7);
    pen.fill();
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = colours("--accent");
  pen.lineWidth = 2.5;
  trace(pen, S.values[k].map((y, n) => spot([n / (S.values[k].length - 1), y])), false);
  pen.stroke();
}

/** In the next frame: a size that changes while sizes are told would be an error. */
function whenSized(element, act) {
  new ResizeObserver(() => requestAnimationFrame(act)).observe(element);
}

function miss(row, target) {
  return Math.hypot(...row.map((value, c) => value - target[c]));
}

whenSized($("mountain"), () => mountain.resize());
whenSized($("curves"), () => curves.forEach((curve) => curve.layout()));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  mountain.paint();
  for (const paint of repaint) paint();
});
mountain.resize();
for (const curve of curves) curve.layout();
play(false);
show(0);
