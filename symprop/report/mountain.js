"use strict";

/** The surface: losses on a grid as heights from 0 to 1, between the grid's points smooth. */
class Surface {
  constructor({ n, loss, low, high }) {
    this.n = n;
    this.low = low;
    this.knee = low + 1.12 * (high - low) || 1;
    this.top = low + 1.45 * (high - low) || 1;
    this.heights = loss.map((value) => this.height(value));
  }

  /** A loss as a height; above the path's highest loss heights grow slower and slower. */
  height(loss) {
    const room = this.top - this.knee;
    const bent = loss === null || !(loss < 1e300) ? this.top
      : loss <= this.knee ? loss : this.knee + room * (1 - Math.exp((this.knee - loss) / room));
    return (bent - this.low) / (this.top - this.low);
  }

  /** The loss at a height. */
  loss(height) {
    const bent = this.low + height * (this.top - this.low), room = this.top - this.knee;
    return bent <= this.knee ? bent
      : this.knee - room * Math.log(Math.max(1 - (bent - this.knee) / room, 1e-12));
  }

  at(i, j) {
    const last = this.n - 1, inside = (k) => Math.min(last, Math.max(0, k));
    return this.heights[inside(i) * this.n + inside(j)];
  }

  /** The height at x, y from 0 to 1 (Catmull and Rom's cubic through the grid's points). */
  between(x, y) {
    const u = Math.min(1, Math.max(0, x)) * (this.n - 1), j = Math.min(this.n - 2, Math.floor(u));
    const v = Math.min(1, Math.max(0, y)) * (this.n - 1), i = Math.min(this.n - 2, Math.floor(v));
    const row = (r) => cubic(u - j, this.at(r, j - 1), this.at(r, j), this.at(r, j + 1),
      this.at(r, j + 2));
    return cubic(v - i, row(i - 1), row(i), row(i + 1), row(i + 2));
  }
}

/** Catmull and Rom's curve from b to c. */
function cubic(t, a, b, c, d) {
  return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
}

/** A picture of the surface as a block of rock, seen from above at an angle, and the ball on it. */
class Mountain {
  constructor(canvas, data, colours) {
    this.canvas = canvas;
    this.colours = colours;
    this.path = data.path;
    this.surface = new Surface(data);
    this.lifted = data.path.map(([x, y], k) =>
      this.surface.height(data.heights[k]) - this.surface.between(x, y));
    this.tall = 0.5;
    this.pitch = 0.56;
    this.side = 2 * data.n - 1;
    this.mesh = Float64Array.from({ length: this.side ** 2 }, (_, k) => this.surface.between(
      (k % this.side) / (this.side - 1), Math.floor(k / this.side) / (this.side - 1)));
    this.levels = levels(data.low, this.surface.loss(0.985));
    this.yaw = this.clearest();
    this.place = 0;
  }

  /** The direction from which most of the path is seen, the start behind the end. */
  clearest() {
    const [first, last] = [this.path[0], this.path[this.path.length - 1]];
    let best = [-Infinity, 0];
    for (let turn = 0; turn < 48; turn++) {
      const yaw = (turn / 48) * 2 * Math.PI;
      const seen = this.path.filter((_, k) => this.visible(this.spot(k), yaw)).length;
      const across = this.turned(...last, yaw)[0] - this.turned(...first, yaw)[0];
      const nearer = this.turned(...last, yaw)[1] - this.turned(...first, yaw)[1];
      const good = seen / this.path.length + 0.35 * Math.abs(across) + 0.3 * nearer;
      if (good > best[0]) best = [good, yaw];
    }
    return best[1];
  }

  /** x across and y towards the viewer, both from the middle. */
  turned(x, y, yaw = this.yaw) {
    const cos = Math.cos(yaw), sin = Math.sin(yaw);
    return [(x - 0.5) * cos - (y - 0.5) * sin, (x - 0.5) * sin + (y - 0.5) * cos];
  }

  project(x, y, height) {
    const [across, near] = this.turned(x, y);
    return [this.middle[0] + this.scale * across,
      this.middle[1] + this.scale * (near * Math.sin(this.pitch)
        - height * this.tall * Math.cos(this.pitch))];
  }

  /** The ball's place at a fractional snapshot: on the surface, at a snapshot at its own loss. */
  spot(place) {
    const k = Math.min(this.path.length - 1, Math.max(0, Math.floor(place)));
    const t = place - k, at = (n) => this.path[Math.min(this.path.length - 1, Math.max(0, n))];
    const [x, y] = [0, 1].map((c) =>
      cubic(t, at(k - 1)[c], at(k)[c], at(k + 1)[c], at(k + 2)[c]));
    const next = this.lifted[Math.min(this.lifted.length - 1, k + 1)];
    return [x, y, this.surface.between(x, y) + this.lifted[k] * (1 - t) + next * t];
  }

  /** Whether nothing of the surface lies between a point and the viewer. */
  visible([x, y, height], yaw = this.yaw) {
    const rise = Math.tan(this.pitch) / this.tall, stride = 0.02;
    const [dx, dy] = [Math.sin(yaw) * stride, Math.cos(yaw) * stride];
    for (let k = 1; ; k++) {
      const [u, v] = [x + k * dx, y + k * dy], ray = height + 0.02 + k * stride * rise;
      if (u < 0 || u > 1 || v < 0 || v > 1 || ray > 1) return true;
      if (this.surface.between(u, v) > ray) return false;
    }
  }

  resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    this.canvas.width = Math.max(1, Math.round(width * ratio));
    this.canvas.height = Math.max(1, Math.round(height * ratio));
    this.ratio = ratio;
    this.paint();
  }

  /** Draw the surface once; the ball is drawn over a copy of it. */
  paint() {
    const { width, height } = this.canvas;
    this.rock = Object.assign(document.createElement("canvas"), { width, height });
    const aside = 34 * this.ratio; // room for the numbers of the scale
    this.scale = Math.min((width - aside) / 1.46, height / (1.42 * Math.sin(this.pitch)
      + (this.tall + 0.12) * Math.cos(this.pitch) + 0.06));
    this.middle = [(width + aside) / 2, 0];
    const above = 0.71 * Math.sin(this.pitch) + this.tall * Math.cos(this.pitch) * 0.92;
    const below = 0.71 * Math.sin(this.pitch) + 0.1 * Math.cos(this.pitch);
    this.middle[1] = (height + this.scale * (above - below)) / 2;
    const pen = this.rock.getContext("2d");
    pen.lineJoin = "round";
    this.colour = ramp(this.colours("--heights").split(" "));
    this.quads(pen);
    this.walls(pen);
    this.rim(pen);
    this.axis(pen);
    this.draw();
  }

  quads(pen) {
    const last = this.side - 1, cos = Math.cos(this.yaw), sin = Math.sin(this.yaw);
    const along = [...Array(last).keys()];
    const rows = cos >= 0 ? along : [...along].reverse();
    const columns = sin >= 0 ? along : [...along].reverse();
    const contour = this.colours("--contour");
    const points = Array.from(this.mesh, (h, k) =>
      this.project((k % this.side) / last, Math.floor(k / this.side) / last, h));
    const corners = (i, j) => [i * this.side + j, i * this.side + j + 1,
      (i + 1) * this.side + j + 1, (i + 1) * this.side + j];
    const lines = (i) => columns.forEach((j) => this.contours(pen, contour,
      corners(i, j).map((k) => points[k]), corners(i, j).map((k) => this.mesh[k])));
    rows.forEach((i, n) => {
      for (const j of columns) {
        pen.fillStyle = pen.strokeStyle = this.shaded(i, j, cos, sin);
        pen.lineWidth = 0.8;
        trace(pen, corners(i, j).map((k) => points[k]));
        pen.fill();
        pen.stroke();
      }
      if (n) lines(rows[n - 1]); // the row in front covers half of a line on its border
    });
    lines(rows[rows.length - 1]);
  }

  /** The colour of a piece of surface: by its height, and by how it stands to the light. */
  shaded(i, j, cos, sin) {
    const at = (row, column) => this.mesh[Math.min(this.side - 1, Math.max(0, row)) * this.side
      + Math.min(this.side - 1, Math.max(0, column))];
    const slope = (this.side - 1) * this.tall / 6;
    const dx = slope * (at(i, j + 2) + at(i + 1, j + 2) - at(i, j - 1) - at(i + 1, j - 1));
    const dy = slope * (at(i + 2, j) + at(i + 2, j + 1) - at(i - 1, j) - at(i - 1, j + 1));
    const [across, near] = [dx * cos - dy * sin, dx * sin + dy * cos];
    const light = (0.48 * across - 0.22 * near + 0.85) / Math.hypot(across, near, 1);
    const height = (at(i, j) + at(i, j + 1) + at(i + 1, j) + at(i + 1, j + 1)) / 4;
    return mixed(this.colour(height), 0.66 + 0.44 * Math.max(0, light));
  }

  /** The lines of equal loss in one piece of surface. */
  contours(pen, colour, points, heights) {
    const [low, high] = [Math.min(...heights), Math.max(...heights)];
    for (const { height, strong } of this.levels.map((level) => (
      { height: this.surface.height(level.loss), strong: level.strong }))) {
      if (height <= low || height > high) continue;
      const ends = [];
      for (let k = 0; k < 4; k++) {
        const [a, b] = [heights[k], heights[(k + 1) % 4]];
        if ((a < height) === (b < height)) continue;
        const t = (height - a) / (b - a), [p, q] = [points[k], points[(k + 1) % 4]];
        ends.push([p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])]);
      }
      pen.strokeStyle = `rgb(${colour} / ${strong ? 0.55 : 0.28})`;
      pen.lineWidth = (strong ? 1.1 : 0.7) * this.ratio;
      pen.beginPath();
      for (let k = 0; k + 1 < ends.length; k += 2) {
        pen.moveTo(...ends[k]);
        pen.lineTo(...ends[k + 1]);
      }
      pen.stroke();
    }
  }

  /** The two sides of the block that face the viewer. */
  walls(pen) {
    const last = this.side - 1, rock = this.colours("--rock");
    const edges = [[0, 0, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 0, 0]];
    for (const [x, y, u, v] of edges) {
      const [, near] = this.turned((x + u) / 2, (y + v) / 2);
      if (near <= 1e-9) continue;
      const rim = Array.from({ length: last + 1 }, (_, k) => {
        const [a, b] = [x + (u - x) * k / last, y + (v - y) * k / last];
        return this.project(a, b, this.mesh[Math.round(b * last) * this.side
          + Math.round(a * last)]);
      });
      const [across] = this.turned((x + u) / 2, (y + v) / 2);
      const [, top] = this.project(x, y, 1), [, bottom] = this.project(x, y, -0.09);
      const fill = pen.createLinearGradient(0, top, 0, bottom);
      for (const stop of [0, 0.35, 0.7, 1]) {
        fill.addColorStop(stop, mixed(this.colour(0.62 * (1 - stop)), across > 0 ? 0.62 : 0.42, rock));
      }
      pen.fillStyle = fill;
      trace(pen, [...rim, this.project(u, v, -0.09), this.project(x, y, -0.09)]);
      pen.fill();
    }
  }

  /** The four edges of the surface, so that it stands out from what is behind. */
  rim(pen) {
    const last = this.side - 1, border = [];
    for (let k = 0; k < last; k++) border.push([0, k]);
    for (let k = 0; k < last; k++) border.push([k, last]);
    for (let k = last; k > 0; k--) border.push([last, k]);
    for (let k = last; k > 0; k--) border.push([k, 0]);
    pen.strokeStyle = `rgb(${this.colours("--contour")} / .38)`;
    pen.lineWidth = this.ratio;
    trace(pen, border.map(([i, j]) =>
      this.project(j / last, i / last, this.mesh[i * this.side + j])));
    pen.stroke();
  }

  /** Losses beside the leftmost edge of the block. */
  axis(pen) {
    const corners = [[0, 0], [1, 0], [1, 1], [0, 1]];
    const [x, y] = corners.reduce((a, b) =>
      (this.turned(...b)[0] < this.turned(...a)[0] ? b : a));
    const ink = this.colours("--muted"), size = 11 * this.ratio;
    pen.font = `${size}px ${this.colours("--sans")}`;
    pen.fillStyle = pen.strokeStyle = ink;
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    pen.lineWidth = this.ratio;
    const left = Math.max(3.2 * size, this.project(x, y, 0)[0] - 0.8 * size);
    const end = (height) => [left, this.project(x, y, height)[1]];
    trace(pen, [end(0), end(1)], false);
    pen.stroke();
    let free = Infinity;
    for (const { loss, strong } of this.levels) {
      if (!strong) continue;
      const [, at] = end(this.surface.height(loss));
      trace(pen, [[left, at], [left - 0.4 * size, at]], false);
      pen.stroke();
      if (at > free - 1.15 * size) continue;
      pen.fillText(plain(loss), left - 0.7 * size, at);
      free = at;
    }
    pen.fillText("loss", left - 0.7 * size, Math.min(end(1)[1], free - 1.5 * size));
  }

  /** The way that the ball has come, the way to come, and the ball. */
  draw(place = this.place) {
    this.place = place;
    const pen = this.canvas.getContext("2d");
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.drawImage(this.rock, 0, 0);
    pen.lineCap = "round";
    const last = this.path.length - 1, all = [];
    for (let k = 0; k <= last * 8; k++) all.push(k / 8);
    const past = [...all.filter((k) => k < place), place];
    this.way(pen, [place, ...all.filter((k) => k > place)], 1.4, true);
    this.way(pen, past, 3, false);
    for (let k = 0; k <= last; k++) this.mark(pen, k, k <= place + 1e-6);
    this.ball(pen, this.spot(place));
  }

  way(pen, places, width, later) {
    const spots = places.map((k) => this.spot(k));
    const ends = spots.map(([x, y, h]) => this.project(x, y, h + 0.008));
    const seen = spots.map((spot) => this.visible(spot));
    for (let k = 1; k < ends.length; k++) {
      const hidden = !seen[k] && !seen[k - 1];
      pen.strokeStyle = later ? this.colours("--ink") : this.colours("--accent");
      pen.globalAlpha = (later ? 0.5 : 1) * (hidden ? 0.22 : 1);
      pen.lineWidth = width * this.ratio;
      trace(pen, [ends[k - 1], ends[k]], false);
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  mark(pen, k, past) {
    const spot = this.spot(k), [x, y] = this.project(spot[0], spot[1], spot[2] + 0.008);
    pen.globalAlpha = this.visible(spot) ? 1 : 0.25;
    pen.fillStyle = past ? this.colours("--accent") : this.colours("--ink");
    pen.beginPath();
    pen.arc(x, y, (past ? 2.6 : 1.8) * this.ratio, 0, 7);
    pen.fill();
    pen.globalAlpha = 1;
  }

  ball(pen, spot) {
    const radius = Math.max(7 * this.ratio, this.scale * 0.019);
    const [x, ground] = this.project(...spot), y = ground - 0.85 * radius;
    pen.globalAlpha = this.visible(spot) ? 1 : 0.4;
    pen.fillStyle = "rgb(0 0 0 / .3)";
    pen.beginPath();
    pen.ellipse(x, ground + 0.05 * radius, radius * 1.05, radius * 0.5, 0, 0, 7);
    pen.fill();
    const light = pen.createRadialGradient(x - 0.35 * radius, y - 0.4 * radius, 0.1 * radius,
      x, y, 1.05 * radius);
    light.addColorStop(0, "#fff3e8");
    light.addColorStop(0.3, "#ff9a5c");
    light.addColorStop(0.75, "#d64c12");
    light.addColorStop(1, "#8d2c05");
    pen.fillStyle = light;
    pen.strokeStyle = "rgb(60 18 0 / .8)";
    pen.lineWidth = this.ratio;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 7);
    pen.fill();
    pen.stroke();
    pen.globalAlpha = 1;
    this.seen = [x / this.ratio, y / this.ratio];
  }
}

/** Losses to draw contours at: round numbers, evenly in logarithms where they are of many sizes. */
function levels(low, high) {
  if (!(low > 0 && high > 6 * low)) {
    const strong = ticks(low, high, false), half = (strong[1] - strong[0]) / 2 || high;
    return strong.flatMap((loss) => [{ loss, strong: true }, { loss: loss + half, strong: false }])
      .filter(({ loss }) => loss > low && loss < high);
  }
  const found = [], first = Math.floor(Math.log10(Math.max(low, high * 1e-4)));
  for (let power = first; power <= Math.log10(high); power++) {
    for (const step of [1, 1.5, 2, 3, 4, 5, 7]) {
      const loss = Number((step * 10 ** power).toPrecision(2));
      if (loss > low && loss < high) found.push({ loss, strong: [1, 2, 5].includes(step) });
    }
  }
  return found;
}

/** Round numbers between two numbers, or between two logarithms. */
function ticks(low, high, logarithmic) {
  if (logarithmic) {
    const found = [], few = high - low > 2.5 ? [1] : high - low > 1 ? [1, 3] : [1, 2, 5];
    for (let power = Math.floor(low); power <= high; power++) {
      found.push(...few.map((k) => k * 10 ** power));
    }
    return found.filter((value) => Math.log10(value) >= low && Math.log10(value) <= high);
  }
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 2.5, 5, 10].map((k) => k * power).find((k) => k >= rough);
  const found = [];
  for (let k = Math.ceil(low / size - 1e-9); k * size <= high + 1e-9 * size; k++) {
    found.push(Number((k * size).toPrecision(12)));
  }
  return found;
}

/** Colours from low to high as a function. */
function ramp(names) {
  const stops = names.map((name) => [1, 3, 5].map((k) => parseInt(name.slice(k, k + 2), 16)));
  return (height) => {
    const at = Math.min(0.9999, Math.max(0, height)) * (stops.length - 1), k = Math.floor(at);
    return stops[k].map((value, c) => value + (at - k) * (stops[k + 1][c] - value));
  };
}

function mixed(colour, light, other = null) {
  const base = other ? [1, 3, 5].map((k) => parseInt(other.slice(k, k + 2), 16)) : [0, 0, 0];
  const parts = colour.map((value, c) => Math.round(Math.min(255, other
    ? base[c] + (value - base[c]) * light : value * light)));
  return `rgb(${parts.join(" ")})`;
}

function trace(pen, points, closed = true) {
  pen.beginPath();
  points.forEach(([x, y], k) => (k ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  if (closed) pen.closePath();
}

/** A round number without trailing zeros. */
function plain(value) {
  return short(value, 2).replace(/(\.\d*?)0+(?=$|·)/, "$1").replace(/\.(?=$|·)/, "");
}

/** A number with few digits. */
function short(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "—";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-4) {
    const [front, power] = value.toExponential(digits - 1).split("e");
    const raised = power.replace("+", "").replace(/./g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] || "⁻");
    return `${front}·10${raised}`.replace("-", "−");
  }
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  const shown = value.toFixed(Math.min(8, places));
  return shown.replace("-", "−");
}
