// The slice viewer in the browser. No dependency, no build step: this file is what runs.
//
// A Session belongs to one Python viewer and holds what all its displays share: the volume, the crosshair, the window, the
// annotations. A View is one display of it; a Pane is one plane in a View. Nothing here waits for the kernel.
//
// Axes: volumes lie in memory as in numpy, (z, y, x). A plane says which array axis runs along the rows of its picture,
// which down its columns and which through its slices, and which of them run against the picture.

const NOT_NUMBERS = { [-32768]: "NaN", [-32767]: "−∞", 32767: "+∞" }; // what codes mean in volumes that hold such values
const NOT_LOADED = pack(24, 24, 28), NOT_FINITE = pack(204, 121, 167);
const AXIS_COLOURS = { axial: "#D55E00", coronal: "#009E73", sagittal: "#56B4E9", image: "#E69F00" };
const OPPOSITE = { L: "R", P: "A", S: "I" };
const TOOLS = [
  ["move", "n", "Navigate", "M8 1v5M8 10v5M1 8h5M10 8h5"],
  ["window", "c", "Contrast", "M8 2a6 6 0 1 0 0 12zM8 2a6 6 0 0 1 0 12"],
  ["point", "p", "Point", "M8 5.5a2.5 2.5 0 1 0 0 5a2.5 2.5 0 0 0 0-5M8 1v2M8 13v2M1 8h2M13 8h2"],
  ["box", "r", "Box", "M2.5 3.5h11v9h-11z"],
  ["brush", "b", "Brush", "M13.5 2.5L7 9M7 9a2.6 2.6 0 0 0-3.5 2.3c0 1-.6 1.7-1.5 2.2c2.5.8 5.8.2 6.2-2.2c.1-.9-.3-1.7-1.2-2.3"],
  ["erase", "e", "Eraser", "M6 13.5h8M2.5 10.5l6.5-7l4.5 4l-5.8 6h-2.2zM5.7 7l4.5 4.2"],
];
const KEYS = [
  ["↑ ↓, wheel", "next, previous slice"], ["Page Up, Page Down", "ten slices"], ["Home, End", "first, last slice"],
  ["Shift + arrows", "move the crosshair"], ["1 … 9", "window presets"], ["right drag", "contrast"],
  ["+ − 0, Ctrl + wheel", "zoom"], ["Shift + drag", "move the picture"], ["o, h", "outlines, hide labels"],
  ["n c p r b e", "choose a tool"], ["Enter", "use the tool at the crosshair"], ["[ ]", "brush size"],
  ["u, Ctrl + Z", "undo"], [", .", "previous, next frame"], ["w", "worst slice"], ["Esc", "leave the viewer"],
];

function pack(r, g, b) { return (255 << 24 | b << 16 | g << 8 | r) >>> 0; }
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
const signed = (text) => text.replace("-", "−");

/** zlib bytes -> bytes. */
async function inflate(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Put shuffled bytes (all low ones, then all high ones) back together, into `out` from `at` on. */
function unshuffle(bytes, size, out, at) {
  const n = bytes.length / size;
  if (size === 1) out.set(bytes, at);
  else if (size === 2) for (let i = 0; i < n; i++) out[at + i] = bytes[i] | bytes[n + i] << 8;
  else for (let i = 0; i < n; i++) out[at + i] = pack(bytes[3 * i], bytes[3 * i + 1], bytes[3 * i + 2]);
}

// --- Session: the data, and what all displays of one viewer share

class Session {
  constructor(model) {
    this.model = model;
    this.meta = model.get("_scene");
    this.views = new Set();
    const [D, H, W] = this.meta.shape;
    this.strides = [H * W, W, 1];
    this.voxels = D * H * W;
    this.block = this.meta.steps.reduce((a, b) => a * b); // voxels of the image for which one that is shown stands
    this.version = 0; // grows with everything that changes what a slice looks like
    this.layers = Object.fromEntries(this.meta.layers.map(([name, size]) => [name, { size, frames: [], known: [] }]));
    this.missing = new Set();
    for (const [name] of this.meta.layers)
      for (let frame = 0; frame < (name === "image" ? this.meta.frames : 1); frame++)
        for (let first = 0; first < D; first += this.meta.depth) this.missing.add(`${name} ${frame} ${first}`);
    this.total = this.missing.size;
    this.wait = model.get("_pushed") ? 0 : 1500; // ms; a page that was left got it, this one did not
    this.index = [...model.get("_index")];
    this.first = this.meta.start; // where the three slices of the preview lie
    this.frame = model.get("_frame");
    this.labels = this.meta.labels.map((label) => ({ ...label, shown: true }));
    Object.assign(this, { opacity: 0.4, outline: false, tool: "move", brush: { label: 1, radius: 2 }, undone: [] });
    this.threshold = this.meta.heat?.low;
    this.plane = this.meta.plane || this.meta.planes[0].name;
    this.unsaved = {}; // what Python has not been told yet: newer than anything that comes from there
    this.window = model.get("_window");
    this.buildGrey();
    this.buildColours();
    this.ready = this.loadPreview();
    model.on("msg:custom", (content, buffers) => this.receive(content, buffers));
    for (const name of ["_index", "_frame", "_window"]) {
      model.on(`change:${name}`, () => { if (!(name in this.unsaved)) this.take(name, model.get(name)); });
    }
    for (const name of ["_points", "_roi"]) model.on(`change:${name}`, () => this.redraw());
  }

  // --- Loading

  empty(name, length) {
    const { size } = this.layers[name];
    return new (name === "image" ? (size === 3 ? Uint32Array : Int16Array) : size === 2 ? Uint16Array : Uint8Array)(length);
  }

  frameOf(name, frame) {
    const layer = this.layers[name];
    if (!layer) return null;
    layer.known[frame] ||= new Uint8Array(this.meta.shape[0]);
    return layer.frames[frame] ||= this.empty(name, this.voxels);
  }

  /** The first three slices, kept apart: writing them into the volume would touch all of its memory at once. */
  async loadPreview() {
    const bytes = await inflate(bytesOf(this.model.get("_preview"))), [D, H, W] = this.meta.shape;
    let at = 0;
    for (const [name, size] of this.meta.layers) {
      this.layers[name].preview = [H * W, D * W, D * H].map((length) => {
        const slice = this.empty(name, length);
        unshuffle(bytes.subarray(at, at += length * size), size, slice, 0);
        return slice;
      });
    }
  }

  /** Whether a slice must be drawn from the preview: all of it is there, and not yet in the volume. */
  previewed(axis) { return this.missing.size > 0 && this.frame === 0 && this.index[axis] === this.first[axis]; }

  async receive(content, buffers) {
    if (content.type !== "chunk") return;
    const id = `${content.layer} ${content.frame} ${content.first}`;
    if (!this.missing.has(id)) return;
    const bytes = await inflate(bytesOf(buffers[0]));
    await this.ready;
    if (!this.missing.delete(id)) return; // it came twice
    const layer = this.layers[content.layer];
    unshuffle(bytes, layer.size, this.frameOf(content.layer, content.frame), content.first * this.strides[0]);
    layer.known[content.frame].fill(1, content.first, content.first + this.meta.depth);
    if (content.layer === "labels" || content.layer === "prediction") this.tallies = null;
    this.askLater(1500);
    this.redraw();
  }

  /** Ask the kernel for what has not come, once nothing has come for a while. */
  askLater(wait) {
    clearTimeout(this.timer);
    if (!this.missing.size || this.closed) return;
    this.timer = setTimeout(() => {
      const chunks = [...this.missing].map((id) => id.split(" ")).map(([layer, frame, first]) => [layer, +frame, +first]);
      const far = (chunk) => Math.abs(chunk[2] + this.meta.depth / 2 - this.index[0]);
      try {
        this.model.send({ type: "need", chunks: chunks.sort((a, b) => far(a) - far(b)) });
      } catch { /* no kernel: what is here stays visible */ }
      this.askLater(30000); // the kernel may be busy; asking often would only make it answer often
    }, wait);
  }

  complete(name) {
    for (const id of this.missing) if (id.startsWith(name)) return false;
    return true;
  }

  close() { this.closed = true; clearTimeout(this.timer); }

  // --- Colours

  /** Grey of each of the 65,536 codes. */
  buildGrey() {
    const [level, width] = this.window, { slope, intercept } = this.meta;
    const grey = this.grey ||= new Uint8Array(65536), low = level - width / 2;
    for (let i = 0; i < 65536; i++) {
      const share = ((i - 32768) * slope + intercept - low) / width;
      grey[i] = Math.floor(clamp(share, 0, 1) * 255 + 0.5);
    }
  }

  /** A colour over each grey: one row of 256 for each label, for each kind of error, for each heat. Row 0 is plain grey. */
  buildColours() {
    const fill = (table, row, [r, g, b], a) => {
      for (let v = 0; v < 256; v++) {
        const over = (c) => Math.floor(v * (1 - a) + c * a + 0.5);
        table[row << 8 | v] = pack(over(r), over(g), over(b));
      }
    };
    const rows = Math.min(this.labels.length, 255);
    this.table ||= new Uint32Array(65536);
    for (let row = 0; row <= rows; row++) fill(this.table, row, row ? this.labels[row - 1].colour : [0, 0, 0], row ? this.opacity : 0);
    this.shown = Uint8Array.from([0, ...this.labels.map((label) => (label.shown ? 1 : 0))]);
    this.rowOf = this.shown.map((shown, i) => (shown && !this.outline ? 1 + (i - 1) % 255 : 0));
    this.errorTable ||= new Uint32Array(5 * 256);
    fill(this.errorTable, 0, [0, 0, 0], 0);
    this.meta.errors.forEach(([, colour], i) => fill(this.errorTable, i + 1, colour, Math.min(1, this.opacity * 1.6)));
    if (this.meta.heat) {
      this.heatTable ||= new Uint32Array(65536);
      const { low, high, colours } = this.meta.heat;
      for (let p = 0; p < 256; p++) {
        const value = low + p / 255 * (high - low);
        fill(this.heatTable, p, colours[p], value < this.threshold ? 0 : Math.min(1, 2 * this.opacity * p / 255));
      }
    }
  }

  // --- What lies at a voxel

  at(name, [z, y, x]) {
    const layer = this.layers[name], frame = name === "image" ? this.frame : 0, [, H, W] = this.meta.shape, [fz, fy, fx] = this.first;
    if (layer?.known[frame]?.[z]) return layer.frames[frame][(z * H + y) * W + x];
    if (!layer?.preview || frame) return null;
    return z === fz ? layer.preview[0][y * W + x] : y === fy ? layer.preview[1][z * W + x] : x === fx ? layer.preview[2][z * H + y] : null;
  }

  valueText(index) {
    const { slope, intercept, exact, special, unit, colour } = this.meta, code = this.at("image", index);
    if (code === null) return "loading";
    if (colour) return `red ${code & 255}, green ${code >> 8 & 255}, blue ${code >> 16 & 255}`;
    if (special && code in NOT_NUMBERS) return NOT_NUMBERS[code];
    const value = code * slope + intercept;
    const digits = exact ? (Number.isInteger(value) ? 0 : 4) : clamp(Math.ceil(-Math.log10(slope)), 0, 9);
    const plain = Math.abs(value) < 1e7 && (value === 0 || Math.abs(value) > 1e-6);
    return signed(plain ? value.toFixed(digits) : value.toPrecision(6)) + (unit && ` ${unit}`);
  }

  labelText(name, index) {
    const label = this.at(name, index);
    return label ? this.labels[label - 1]?.name ?? "" : "";
  }

  heatText(index) {
    const code = this.at("probability", index);
    if (code === null) return "";
    const { low, high } = this.meta.heat, value = low + code / 255 * (high - low);
    return `${low === 0 && high === 1 ? "probability" : "map"} ${signed(value.toFixed(3))}`;
  }

  /** Place in the patient in mm, along x (to the left), y (to the back) and z (to the head). */
  position(index) {
    const { origin, direction, spacing } = this.meta, offset = [2, 1, 0].map((a) => index[a] * spacing[a]);
    return origin.map((o, row) => o + offset.reduce((sum, mm, column) => sum + direction[row][column] * mm, 0));
  }

  positionText(index) {
    return this.position(index).map((mm, i) => {
      const letter = "LPS"[i];
      return `${mm < 0 ? OPPOSITE[letter] : letter} ${Math.abs(mm).toFixed(1)}`;
    }).join("  ") + " mm";
  }

  // --- Changes

  setIndex(index) { this.later("_index", index.map((i, a) => clamp(Math.round(i), 0, this.meta.shape[a] - 1))); }

  setFrame(frame) { this.later("_frame", clamp(frame, 0, this.meta.frames - 1)); }

  setWindow(level, width) { this.later("_window", [level, Math.max(width, 1e-9)]); }

  take(name, value) {
    this[name.slice(1)] = value;
    if (name === "_window") this.buildGrey();
    if (name === "_index") this.move();
    else this.redraw();
  }

  /** Take a new value at once, but don't tell Python at every step of a drag. */
  later(name, value) {
    this.take(name, value);
    this.unsaved[name] = value;
    clearTimeout(this.saving);
    this.saving = setTimeout(() => {
      const told = this.unsaved;
      this.unsaved = {};
      for (const key in told) this.model.set(key, told[key]);
      this.model.save_changes();
    }, 150);
  }

  tell(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
    this.redraw();
  }

  redraw() { this.version++; this.move(); }

  move() { for (const view of this.views) view.schedule(); }

  restyle() { this.buildColours(); this.redraw(); }

  // --- Annotations

  get points() { return this.model.get("_points"); }

  get roi() { return this.model.get("_roi"); }

  get editable() { return !this.meta.compare && !this.missing.size; }

  /** Set points or the box; one step of undo. */
  annotate(name, value) {
    const before = this.model.get(name);
    this.undone.push(() => this.tell(name, before));
    this.tell(name, value);
  }

  undo() {
    const back = this.undone.pop();
    back?.();
    return back;
  }

  /** The label of the brush; the first stroke over an image without labels makes one. */
  brushLabel() {
    if (!this.layers.labels) {
      this.layers.labels = { size: 1, frames: [], known: [], preview: [] };
      this.frameOf("labels", 0);
      this.layers.labels.known[0].fill(1);
    }
    if (!this.labels.length) this.addLabel();
    return clamp(this.brush.label, 1, this.labels.length);
  }

  addLabel() {
    if (this.labels.length >= 255) return;
    const value = 1 + Math.max(0, ...this.labels.map((label) => label.value)), n = this.labels.length;
    this.labels.push({ value, name: `label ${value}`, count: 0, predicted: 0, colour: this.meta.palette[n % 28], shown: true });
    this.brush.label = n + 1;
    this.restyle();
  }

  /** Write labels at places of the volume; returns what was there. */
  write(places, numbers) {
    const layer = this.layers.labels.frames[0], before = new Uint16Array(places.length);
    places.forEach((place, i) => {
      before[i] = layer[place];
      if (before[i]) this.labels[before[i] - 1].count -= this.block;
      if (numbers[i]) this.labels[numbers[i] - 1].count += this.block;
      layer[place] = numbers[i];
    });
    return before;
  }

  sendEdit(places, numbers) {
    const labels = this.labels.map(({ value, name }) => ({ value, name }));
    const copies = [Uint32Array.from(places).buffer, Uint16Array.from(numbers).buffer];
    this.model.send({ type: "edit", labels }, undefined, copies);
  }

  /** End a stroke: one message to Python, one step of undo. */
  endStroke(stroke) {
    if (!stroke.size || !this.layers.labels) return;
    const places = [...stroke.keys()], before = [...stroke.values()], layer = this.layers.labels.frames[0];
    this.sendEdit(places, places.map((place) => layer[place]));
    this.undone.push(() => { this.write(places, before); this.sendEdit(places, before); });
    this.redraw();
  }

  // --- Comparison

  /** For each slice along an axis and each label: voxels of truth, of prediction, of both. */
  tally(axis) {
    if (!this.complete("labels") || !this.complete("prediction")) return null;
    this.tallies ||= {};
    if (this.tallies[axis]) return this.tallies[axis];
    const [D, H, W] = this.meta.shape, n = this.meta.shape[axis], rows = this.labels.length + 1;
    const truth = this.layers.labels.frames[0], prediction = this.layers.prediction.frames[0];
    const sums = new Uint32Array(n * rows * 3);
    for (let z = 0, i = 0; z < D; z++) for (let y = 0; y < H; y++) for (let x = 0; x < W; x++, i++) {
      const t = truth[i], p = prediction[i];
      if (!(t | p)) continue;
      const slice = (axis === 0 ? z : axis === 1 ? y : x) * rows;
      sums[(slice + t) * 3]++;
      sums[(slice + p) * 3 + 1]++;
      if (t === p) sums[(slice + t) * 3 + 2]++;
    }
    return this.tallies[axis] = { n, rows, sums };
  }

  /** Dice of the labels that are shown, taken together, in each slice; NaN where there are none. */
  diceOf(axis) {
    const tally = this.tally(axis);
    if (!tally) return null;
    return Float64Array.from({ length: tally.n }, (_, slice) => this.dice(tally, [slice], this.labels.map((l, i) => (l.shown ? i + 1 : 0))));
  }

  dice({ rows, sums }, slices, labels) {
    let total = 0, both = 0;
    for (const slice of slices) for (const label of labels) {
      if (!label) continue;
      const at = (slice * rows + label) * 3;
      total += sums[at] + sums[at + 1];
      both += sums[at + 2];
    }
    return total ? 2 * both / total : NaN;
  }

  sizeText(count) {
    if (this.meta.voxel === null) return `${count.toLocaleString("en")} ${this.meta.flat ? "px" : "voxels"}`;
    const ml = count * this.meta.voxel;
    return `${ml >= 10 ? ml.toFixed(1) : ml >= 0.1 ? ml.toFixed(2) : +ml.toPrecision(2)} ml`;
  }
}

// --- Pane: one plane

/** Fill `out` with the picture of a slice: start at `base`, `su` from one column to the next, `sv` from row to row. */
function paint(out, session, mode, cut) {
  const { base, su, sv, columns, rows, from: source } = cut, { grey, table, rowOf, heatTable, errorTable, shown } = session;
  const volume = source("image"), heat = mode === "labels" && source("probability");
  const truth = source(mode === "prediction" ? mode : "labels"), guess = mode === "errors" && source("prediction");
  const colour = session.meta.colour;
  for (let r = 0, o = 0; r < rows; r++) {
    let i = base + r * sv;
    if (!colour && !heat && !guess) { // the common case, kept tight
      if (!truth) for (let c = 0; c < columns; c++, i += su) out[o++] = table[grey[volume[i] + 32768]];
      else for (let c = 0; c < columns; c++, i += su) out[o++] = table[rowOf[truth[i]] << 8 | grey[volume[i] + 32768]];
      continue;
    }
    for (let c = 0; c < columns; c++, i += su) {
      let from = table, row = truth ? rowOf[truth[i]] << 8 : 0;
      if (guess) {
        const t = shown[truth[i]] && truth[i], p = shown[guess[i]] && guess[i];
        from = errorTable;
        row = (t ? (p ? (t === p ? 1 : 4) : 3) : p ? 2 : 0) << 8;
      } else if (heat && !row) {
        from = heatTable;
        row = heat[i] << 8;
      }
      const v = volume[i];
      out[o++] = colour
        ? (from[row | v & 255] & 0xff | from[row | v >> 8 & 255] & 0xff00 | from[row | v >> 16 & 255] & 0xff0000 | 0xff000000) >>> 0
        : from[row | grey[v + 32768]];
    }
  }
  if (session.meta.special) markNotFinite(out, volume, cut);
}

function markNotFinite(out, volume, { base, su, sv, columns, rows }) {
  for (let r = 0, o = 0; r < rows; r++) for (let c = 0, i = base + r * sv; c < columns; c++, i += su, o++) {
    if (volume[i] < -32766 || volume[i] === 32767) out[o] = NOT_FINITE;
  }
}

/** Edges of labels as lines between voxels, one path a label, in units of pixels. */
function outlines(labels, shown, { base, su, sv, columns, rows }) {
  const paths = new Map();
  const at = (r, c) => {
    if (r < 0 || c < 0 || r >= rows || c >= columns) return 0;
    const label = labels[base + r * sv + c * su];
    return shown[label] ? label : 0;
  };
  const line = (label, x0, y0, x1, y1) => {
    if (!label) return;
    let path = paths.get(label);
    if (!path) paths.set(label, path = new Path2D());
    path.moveTo(x0, y0);
    path.lineTo(x1, y1);
  };
  for (let r = 0; r <= rows; r++) for (let c = 0; c <= columns; c++) {
    const here = at(r, c), left = at(r, c - 1), up = at(r - 1, c);
    if (here !== left) { line(here, c, r, c, r + 1); line(left, c, r, c, r + 1); }
    if (here !== up) { line(here, c, r, c + 1, r); line(up, c, r, c + 1, r); }
  }
  return paths;
}

/** The context of a canvas that is empty, has the pixels of the screen, and is drawn on in CSS pixels. */
function cleared(canvas, width, height) {
  const ratio = devicePixelRatio || 1, context = canvas.getContext("2d");
  const [w, h] = [width, height].map((length) => Math.round(length * ratio));
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "600 11px system-ui, sans-serif";
  return context;
}

/** Draw a line with a dark rim, which shows on any background. */
function rimmed(context, colour, draw) {
  const path = new Path2D();
  draw(path);
  for (const [style, width] of [["rgb(0 0 0 / .8)", 4], [colour, 2]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.stroke(path);
  }
}

function write(context, colour, text, x, y) {
  context.lineWidth = 3;
  context.strokeStyle = "rgb(0 0 0 / .8)";
  context.strokeText(text, x, y);
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

class Pane {
  constructor(view, plane, mode) {
    this.view = view;
    this.session = view.session;
    this.plane = plane;
    this.mode = mode;
    this.image = h("canvas", { class: "mlv-image" });
    this.overlay = h("canvas", { class: "mlv-overlay" });
    this.caption = h("span", { class: "mlv-caption" });
    this.track = h("div", { class: "mlv-track" }, this.thumb = h("div", { class: "mlv-thumb" }));
    this.root = h("div", { class: "mlv-pane", tabindex: 0, role: "slider" }, this.image, this.overlay, this.caption, this.track);
    this.letters = ["left", "right", "top", "bottom"].map((side) => h("span", { class: `mlv-letter mlv-${side}` }));
    this.root.append(...this.letters);
    this.setPlane(plane);
    this.listen();
  }

  setPlane(plane) {
    this.plane = plane;
    const { shape, spacing } = this.session.meta, [u, v, n] = plane.axes;
    [this.columns, this.rows, this.slices] = [shape[u], shape[v], shape[n]];
    [this.widthMm, this.heightMm] = [shape[u] * spacing[u], shape[v] * spacing[v]];
    this.image.width = this.columns;
    this.image.height = this.rows;
    this.context = this.image.getContext("2d", { alpha: false });
    this.pixels = this.context.createImageData(this.columns, this.rows);
    this.stamp = "";
    this.letters.forEach((span, i) => { span.textContent = plane.letters[i]; });
    this.root.style.setProperty("--mlv-axis", AXIS_COLOURS[plane.name]);
    this.track.hidden = this.slices < 2;
  }

  // --- From array to screen and back. A position counts along the picture, an index along the array.

  flip(which, value) { return this.plane.flips[which] ? this.session.meta.shape[this.plane.axes[which]] - 1 - value : value; }

  get slice() { return this.flip(2, this.session.index[this.plane.axes[2]]); }

  setSlice(position) {
    const index = [...this.session.index];
    index[this.plane.axes[2]] = this.flip(2, clamp(position, 0, this.slices - 1));
    this.session.setIndex(index);
  }

  /** Place and scale of the whole picture within the pane, in CSS pixels. */
  frame() {
    const zoom = this.view.zoom, width = this.width * zoom, height = this.height * zoom, centre = this.view.centre;
    const place = (which, room, size, count) => {
      if (zoom === 1) return 0;
      return clamp(room / 2 - (this.flip(which, centre[this.plane.axes[which]]) + 0.5) * size / count, room - size, 0);
    };
    return { x: place(0, this.width, width, this.columns), y: place(1, this.height, height, this.rows), width, height };
  }

  /** The voxel under a pointer, with fractions. */
  under(event) {
    const box = this.root.getBoundingClientRect(), { x, y, width, height } = this.frame();
    const u = (event.clientX - box.left - this.root.clientLeft - x) / width * this.columns - 0.5;
    const v = (event.clientY - box.top - this.root.clientTop - y) / height * this.rows - 0.5;
    const index = [...this.session.index];
    index[this.plane.axes[0]] = this.flip(0, clamp(u, -0.5, this.columns - 0.5));
    index[this.plane.axes[1]] = this.flip(1, clamp(v, -0.5, this.rows - 0.5));
    return index;
  }

  voxelUnder(event) {
    return this.under(event).map((i, a) => clamp(Math.round(i), 0, this.session.meta.shape[a] - 1));
  }

  cut() {
    const { session } = this, { meta, index } = session, [u, v, n] = this.plane.axes, [fu, fv] = this.plane.flips;
    const previewed = session.previewed(n), [, H, W] = meta.shape;
    const strides = previewed ? [[0, W, 1], [W, 0, 1], [H, 1, 0]][n] : session.strides;
    const from = (name) => (previewed ? session.layers[name]?.preview[n] : session.frameOf(name, name === "image" ? session.frame : 0));
    let [su, sv] = [strides[u], strides[v]], base = index[n] * strides[n];
    if (fu) { base += (meta.shape[u] - 1) * su; su = -su; }
    if (fv) { base += (meta.shape[v] - 1) * sv; sv = -sv; }
    return { base, su, sv, columns: this.columns, rows: this.rows, from };
  }

  // --- Drawing

  draw() {
    const { session } = this, stamp = `${session.version} ${session.frame} ${session.index[this.plane.axes[2]]}`;
    if (stamp !== this.stamp) {
      this.stamp = stamp;
      const out = new Uint32Array(this.pixels.data.buffer), cut = this.cut();
      paint(out, session, this.mode, cut);
      this.hideUnknown(out);
      this.context.putImageData(this.pixels, 0, 0);
      const drawn = cut.from(this.mode === "prediction" ? "prediction" : "labels");
      this.edges = session.outline && drawn && this.mode !== "errors" ? outlines(drawn, session.shown, cut) : null;
    }
    const { x, y, width, height } = this.frame();
    Object.assign(this.image.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
    const small = Math.min(width / this.columns, height / this.rows) * devicePixelRatio < 2;
    this.image.style.imageRendering = small ? "auto" : "pixelated"; // or else rows of small voxels are dropped here and there
    this.drawOverlay(x, y, width / this.columns, height / this.rows);
    this.describe();
  }

  /** Voxels that have not come yet are drawn in one dark colour. */
  hideUnknown(out) {
    const { session } = this, known = session.layers.image.known[session.frame], [u, v, n] = this.plane.axes, k = session.index[n];
    if (session.complete("image") || session.previewed(n)) return;
    if (n === 0) { if (!known[k]) out.fill(NOT_LOADED); return; }
    for (let z = 0; z < known.length; z++) {
      if (known[z]) continue;
      if (v === 0) { const r = this.flip(1, z); out.fill(NOT_LOADED, r * this.columns, (r + 1) * this.columns); }
      else if (u === 0) for (let r = 0, c = this.flip(0, z); r < this.rows; r++) out[r * this.columns + c] = NOT_LOADED;
    }
  }

  drawOverlay(x, y, sx, sy) {
    const context = cleared(this.overlay, this.width, this.height);
    const screen = (index) => [0, 1].map((w) => (this.flip(w, index[this.plane.axes[w]]) + 0.5) * [sx, sy][w] + [x, y][w]);
    this.drawEdges(context, x, y, sx, sy);
    this.drawCrosshair(context, screen(this.session.index));
    this.drawBox(context, x, y, sx, sy);
    this.drawPoints(context, screen);
    if (["brush", "erase"].includes(this.session.tool) && (this.focused || this.view.pointer?.pane === this)) {
      const [u, v] = screen(this.view.looked()), [mu, mv] = this.brushRadii();
      context.strokeStyle = "white";
      context.beginPath();
      context.ellipse(u, v, Math.max(2, mu * sx), Math.max(2, mv * sy), 0, 0, 7);
      context.stroke();
    }
    this.drawScale(context, sx);
  }

  drawEdges(context, x, y, sx, sy) {
    for (const [label, path] of this.edges || []) {
      const scaled = new Path2D();
      scaled.addPath(path, new DOMMatrix([sx, 0, 0, sy, x, y]));
      context.strokeStyle = rgb(this.session.labels[label - 1].colour);
      context.lineWidth = 1.5;
      context.stroke(scaled);
    }
  }

  /** Two lines in the colours of the planes that they stand for; the voxel itself stays free. */
  drawCrosshair(context, [u, v]) {
    if (this.session.meta.flat && this.session.tool === "move" && !this.focused) return;
    const normal = (which) => this.session.meta.planes.find((p) => p.axes[2] === this.plane.axes[which])?.name;
    const gap = 9, [x, y] = [u, v].map((at) => Math.floor(at) + 0.5); // half a pixel, where a line of one pixel is sharp
    context.lineWidth = 1;
    context.globalAlpha = 0.85;
    for (const [which, lines] of [[0, [x, 0, x, y - gap, x, y + gap, x, this.height]], [1, [0, y, x - gap, y, x + gap, y, this.width, y]]]) {
      context.strokeStyle = AXIS_COLOURS[normal(which)] ?? "#E69F00";
      context.beginPath();
      for (let i = 0; i < 8; i += 4) { context.moveTo(lines[i], lines[i + 1]); context.lineTo(lines[i + 2], lines[i + 3]); }
      context.stroke();
    }
    context.globalAlpha = 1;
  }

  drawBox(context, x, y, sx, sy) {
    const roi = this.draft || this.session.roi, [u, v, n] = this.plane.axes, k = this.session.index[n];
    if (!roi) return;
    const [start, stop] = roi;
    const span = (axis, which) => {
      const ends = [this.flip(which, start[axis]), this.flip(which, stop[axis] - 1)];
      return [Math.min(...ends), Math.max(...ends) + 1];
    };
    const [u0, u1] = span(u, 0), [v0, v1] = span(v, 1);
    context.setLineDash(k >= start[n] && k < stop[n] ? [] : [4, 4]); // dashed where the box does not reach this slice
    rimmed(context, "#F0E442", (path) => path.rect(x + u0 * sx, y + v0 * sy, (u1 - u0) * sx, (v1 - v0) * sy));
    context.setLineDash([]);
  }

  drawPoints(context, screen) {
    const n = this.plane.axes[2];
    this.session.points.forEach((point, i) => {
      const [u, v] = screen(point), here = point[n] === this.session.index[n];
      if (!here && Math.abs(point[n] - this.session.index[n]) > 2) return;
      context.globalAlpha = here ? 1 : 0.35;
      rimmed(context, "#F0E442", (path) => path.arc(u, v, 5, 0, 7));
      write(context, "#F0E442", i + 1, u + 8, v - 6);
      context.globalAlpha = 1;
    });
  }

  /** A bar of a round number of millimetres, where the voxel size is known. */
  drawScale(context, sx) {
    const { meta } = this.session;
    if (!meta.geometry || this.width < 110) return;
    const perMm = sx / meta.spacing[this.plane.axes[0]], room = this.width / 4;
    const mm = [100, 50, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1].find((length) => length * perMm <= room);
    if (!mm) return;
    const length = mm * perMm, right = this.width - 10, bottom = this.height - 13;
    rimmed(context, "white", (path) => path.rect(right - length, bottom, length, 0));
    const text = mm >= 10 ? `${mm / 10} cm` : `${mm} mm`;
    write(context, "white", text, right - context.measureText(text).width, bottom - 5);
  }

  /** What is written on the pane, and what is spoken. */
  describe() {
    const { session, slices, slice, mode } = this, { meta, index } = session, { name } = this.plane;
    const title = meta.compare ? { labels: "truth" }[mode] ?? mode : meta.flat ? "" : name, room = this.width / 2 - 30; // to the letter
    const texts = slices > 1 ? [`${title} ${slice + 1} / ${slices}`, `${title} ${slice + 1}`, meta.compare ? title : `${slice + 1}`] : [title];
    this.caption.textContent = texts.find((text) => text.length * 6 < room) ?? texts.at(-1);
    Object.assign(this.thumb.style, { width: `${100 / slices}%`, left: `${100 * slice / slices}%` });
    const along = { sagittal: 0, coronal: 1, axial: 2 }[name]; // undefined for a 2D image
    const parts = meta.flat ? ["image"] : [`${name} ${slice + 1} of ${slices}`, `${signed(session.position(index)[along].toFixed(1))} mm`];
    parts.push(session.valueText(index), session.labelText(mode === "prediction" ? mode : "labels", index), session.heatText(index));
    slide(this.root, slice, slices, parts.filter(Boolean).join(", "));
  }

  // --- Input

  listen() {
    const { root, view } = this;
    root.setAttribute("aria-label", `${this.session.meta.compare ? `${this.mode} ` : ""}${this.plane.name} slices`);
    const on = (name, act, options) => root.addEventListener(name, act, options);
    on("wheel", (event) => this.wheel(event), { passive: false });
    on("keydown", (event) => this.key(event));
    on("pointerdown", (event) => this.press(event));
    on("pointermove", (event) => { view.pointer = { pane: this, voxel: this.voxelUnder(event) }; this.drag?.(event); view.schedule(); });
    on("pointerleave", () => { view.pointer = null; view.schedule(); });
    on("pointerup", () => this.release());
    on("pointercancel", () => this.release());
    on("contextmenu", (event) => { event.preventDefault(); event.stopPropagation(); });
    on("focus", () => { this.focused = true; view.schedule(); });
    on("blur", () => { this.focused = false; view.schedule(); });
    scrub(this.track, (share) => { root.focus({ preventScroll: true }); this.setSlice(Math.floor(share * this.slices)); });
  }

  /** Slices, but only once the pane has the focus: before, the wheel scrolls the page. */
  wheel(event) {
    if (!this.focused) return;
    event.preventDefault();
    event.stopPropagation();
    const lines = event.deltaMode === 0 ? event.deltaY : event.deltaY * 40;
    if (event.ctrlKey) { this.view.setZoom(this.view.zoom * Math.exp(-lines / 300), this, event); return; }
    this.rolled = (this.rolled || 0) + lines; // a notch of a wheel is 100 and more, a touch pad sends many small steps
    const step = Math.abs(lines) >= 50 ? Math.sign(lines) : Math.trunc(this.rolled / 30);
    if (step) { this.rolled = 0; this.setSlice(this.slice - step); }
  }

  key(event) {
    const { view } = this, { key } = event, page = 10;
    if (!ownsKey(event)) return;
    view.pointer = null; // who uses keys wants to read the crosshair
    const arrows = { ArrowUp: [1, -1], ArrowDown: [1, 1], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const steps = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: page, PageDown: -page, Home: -Infinity, End: Infinity };
    if (key === "Tab") return;
    if (key in arrows && event.shiftKey) this.step(...arrows[key]);
    else if (key in steps) this.setSlice(this.slice + steps[key]);
    else if (key === "Enter") this.use();
    else if (key === "Escape") { if (!this.cancel()) view.leave(this); }
    else if (!view.key(key, event)) return;
    event.preventDefault();
  }

  /** Move the crosshair within the plane. */
  step(which, by) {
    const index = [...this.session.index], axis = this.plane.axes[which];
    index[axis] += this.plane.flips[which] ? -by : by;
    this.session.setIndex(index);
    if (this.view.zoom > 1) this.view.centre = [...this.session.index];
    if (this.corner) this.draft = this.boxTo(this.corner, this.session.index);
  }

  cancel() {
    const had = this.corner;
    this.draft = this.corner = null;
    this.session.move();
    return had;
  }

  press(event) {
    const { session, view, root } = this, tool = session.tool;
    root.focus({ preventScroll: true });
    if (event.button === 0) event.preventDefault(); // no text selection while dragging
    try { root.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone already */ }
    const from = [event.clientX, event.clientY], voxel = this.voxelUnder(event);
    const [level, width] = session.window;
    if (event.button === 1 || (event.button === 0 && event.shiftKey)) {
      const start = this.under(event);
      this.drag = (e) => view.pan(start, this.under(e)); // the voxel that was taken hold of stays under the pointer
    } else if (event.button === 2 || tool === "window") {
      this.drag = (e) => {
        const unit = Math.max(width, (session.meta.exact ? 4 : 0)) / 250;
        session.setWindow(level + (e.clientY - from[1]) * unit, Math.max(width + (e.clientX - from[0]) * unit, unit));
      };
    } else if (tool === "move") {
      this.drag = (e) => session.setIndex(this.voxelUnder(e));
      this.drag(event);
    } else if (tool === "point") {
      session.setIndex(voxel);
      this.use();
    } else if (tool === "box") {
      this.drag = (e) => { this.draft = this.boxTo(voxel, this.voxelUnder(e)); };
      this.done = () => { if (this.draft) session.annotate("_roi", this.draft); this.draft = null; };
    } else if (this.mayPaint()) {
      const stroke = new Map();
      let last = voxel;
      this.drag = (e) => { const next = this.voxelUnder(e); this.dab(stroke, last, next); last = next; };
      this.done = () => session.endStroke(stroke);
      this.drag(event);
    }
  }

  release() {
    this.drag = null;
    this.done?.();
    this.done = null;
    this.session.move();
  }

  /** Use the tool at the crosshair, as a click does. */
  use() {
    const { session } = this, { tool, index } = session;
    if (tool === "point") {
      session.annotate("_points", [...session.points, index]);
      this.view.say(`point ${session.points.length} set`);
    } else if (tool === "box") {
      if (this.corner) { session.annotate("_roi", this.boxTo(this.corner, index)); this.corner = this.draft = null; this.view.say("box set"); }
      else { this.corner = [...index]; this.draft = this.boxTo(index, index); this.view.say("first corner set"); }
      session.move();
    } else if ((tool === "brush" || tool === "erase") && this.mayPaint()) {
      const stroke = new Map();
      this.dab(stroke, index, index);
      session.endStroke(stroke);
      this.view.say(`${tool === "brush" ? "painted" : "removed"} ${stroke.size} voxels`);
    }
  }

  mayPaint() {
    if (this.session.editable) return true;
    this.view.say("the volume is still loading");
    return false;
  }

  /** A box through two voxels of this slice. Where one reaches through this slice, it keeps its depth: planes refine it. */
  boxTo(a, b) {
    const n = this.plane.axes[2], k = this.session.index[n], old = this.session.roi;
    const start = a.map((i, axis) => Math.min(i, b[axis])), stop = a.map((i, axis) => Math.max(i, b[axis]) + 1);
    const keep = old && k >= old[0][n] && k < old[1][n];
    start[n] = keep ? old[0][n] : k;
    stop[n] = keep ? old[1][n] : k + 1;
    return [start, stop];
  }

  /** Radii of the brush in voxels along the rows and columns: a disc in the patient. */
  brushRadii() {
    const { meta, brush } = this.session, [su, sv] = [meta.spacing[this.plane.axes[0]], meta.spacing[this.plane.axes[1]]];
    const radius = (brush.radius + 0.5) * Math.min(su, sv);
    return [radius / su, radius / sv];
  }

  /** Paint discs on the way from one voxel to another; what they cover first is kept in `stroke`. */
  dab(stroke, from, to) {
    const { session } = this, [u, v, n] = this.plane.axes, [ru, rv] = this.brushRadii(), { strides, meta } = session;
    const number = session.tool === "erase" ? 0 : session.brushLabel();
    const steps = Math.max(1, Math.abs(to[u] - from[u]), Math.abs(to[v] - from[v])), places = [];
    for (let s = 0; s <= steps; s++) {
      const cu = Math.round(from[u] + (to[u] - from[u]) * s / steps), cv = Math.round(from[v] + (to[v] - from[v]) * s / steps);
      for (let dv = -Math.floor(rv); dv <= rv; dv++) for (let du = -Math.floor(ru); du <= ru; du++) {
        const pu = cu + du, pv = cv + dv;
        if ((du / ru) ** 2 + (dv / rv) ** 2 > 1 || pu < 0 || pv < 0 || pu >= meta.shape[u] || pv >= meta.shape[v]) continue;
        const place = session.index[n] * strides[n] + pu * strides[u] + pv * strides[v];
        if (!stroke.has(place)) { stroke.set(place, session.frameOf("labels", 0)?.[place] ?? 0); places.push(place); }
      }
    }
    if (session.layers.labels) session.write(places, places.map(() => number));
    session.redraw();
  }
}

// --- View: one display

/** An element with attributes and children; `on…` attributes are listeners. */
function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

function slider(label, [min, max, step], change) {
  return h("input", { type: "range", min, max, step, "aria-label": label, oninput: (event) => change(+event.target.value) });
}

/** Tell screen readers where a slider stands. */
function slide(element, slice, slices, text) {
  const values = { valuemin: 1, valuemax: slices, valuenow: slice + 1, valuetext: text };
  for (const [name, value] of Object.entries(values)) element.setAttribute(`aria-${name}`, value);
}

const rgb = (colour) => `rgb(${colour.join(" ")})`;

const swatch = (colour) => h("i", { style: `background: ${rgb(colour)}` });

/** Let a press or a drag along an element choose a share of its width. */
function scrub(element, choose) {
  const act = (event) => { const box = element.getBoundingClientRect(); choose((event.clientX - box.left) / box.width); };
  element.onpointerdown = (event) => {
    event.stopPropagation();
    element.setPointerCapture(event.pointerId);
    element.onpointermove = act;
    act(event);
  };
  element.onpointerup = () => { element.onpointermove = null; };
}

/** Whether a key is for the viewer: all that come without Ctrl, Alt or Cmd, or JupyterLab takes a letter for a command. */
function ownsKey(event) {
  return !event.altKey && !event.metaKey && (!event.ctrlKey || event.key === "z");
}

function icon(path) {
  const holder = h("span", { class: "mlv-icon", "aria-hidden": "true" });
  holder.innerHTML = `<svg viewBox="0 0 16 16" width="16" height="16"><path d="${path}"/></svg>`;
  return holder;
}

class View {
  constructor(session, el) {
    this.session = session;
    const { meta } = session;
    this.zoom = 1;
    this.centre = [...session.index];
    const planes = meta.plane ? meta.planes.filter((p) => p.name === meta.plane) : meta.planes;
    this.panes = meta.compare
      ? ["labels", "prediction", "errors"].map((mode) => new Pane(this, planes[0], mode))
      : planes.map((plane) => new Pane(this, plane, "labels"));
    this.stage = h("div", { class: "mlv-stage" }, ...this.panes.map((pane) => pane.root));
    this.readout = h("div", { class: "mlv-readout" });
    this.status = h("div", { class: "mlv-status" });
    this.spoken = h("div", { class: "mlv-spoken", "aria-live": "polite" });
    this.legend = h("div", { class: "mlv-legend", role: "group", "aria-label": "labels" });
    this.help = h("div", { class: "mlv-help", hidden: true }, ...KEYS.flatMap(([keys, what]) => [h("kbd", {}, keys), h("span", {}, what)]));
    this.root = h("div", { class: "mlv", role: "group", "aria-label": meta.alt }, this.toolbar(), this.stage);
    if (meta.compare) this.root.append(this.bars());
    this.root.append(h("div", { class: "mlv-foot" }, this.readout, this.status), this.legend, this.help, this.spoken);
    if (meta.notes.length) this.root.append(h("div", { class: "mlv-notes" }, `Note: ${meta.notes.join("; ")}.`));
    this.root.addEventListener("keydown", (event) => { if (ownsKey(event)) event.stopPropagation(); });
    // Notebook 7 looks for its shortcuts before the event gets here, unless an attribute of the element that has the focus
    // tells it not to. Ctrl + S and the like stay its own.
    this.guard = (event) => { if (this.root.contains(event.target)) event.target.toggleAttribute("data-lm-suppress-shortcuts", ownsKey(event)); };
    addEventListener("keydown", this.guard, { capture: true });
    this.root.viewer = this; // for tests
    this.observer = new ResizeObserver(() => this.layout());
    this.observer.observe(this.stage);
    el.append(this.root);
    session.views.add(this);
    session.ready.then(() => { this.loaded = true; this.draw(); });
    session.askLater(session.wait);
  }

  close() {
    this.observer.disconnect();
    removeEventListener("keydown", this.guard, { capture: true });
    this.session.views.delete(this);
    this.root.remove();
  }

  say(text) { this.spoken.textContent = text; }

  // --- Controls

  toolbar() {
    const { session } = this, { meta } = session, bar = h("div", { class: "mlv-bar", role: "toolbar", "aria-label": "viewer" });
    const tools = meta.compare ? TOOLS.slice(0, 4) : TOOLS;
    this.tools = tools.map(([name, key, title, path]) =>
      h("button", { title: `${title} (${key})`, "aria-label": title, "data-tool": name, onclick: () => this.setTool(name) }, icon(path)));
    bar.append(h("span", { class: "mlv-group", role: "group", "aria-label": "tool" }, ...this.tools,
      h("button", { title: "Undo (u)", "aria-label": "Undo", onclick: () => this.undo() }, icon("M6 3L2.5 6.5L6 10M3 6.5h6.5a4 4 0 0 1 0 8h-3"))));
    bar.append(meta.compare ? this.planeControl() : this.brushControls());
    if (!meta.colour) bar.append(this.windowControls());
    bar.append(this.overlayControls());
    if (meta.frames > 1) bar.append(this.frameControl());
    bar.append(h("button", { class: "mlv-help-button", title: "Keys (?)", "aria-label": "Keys", onclick: () => this.toggleHelp() }, "?"));
    return bar;
  }

  brushControls() {
    const { session } = this;
    this.brushLabel = h("select", { "aria-label": "label to paint", onchange: () => {
      if (this.brushLabel.value === "new") session.addLabel();
      else session.brush.label = +this.brushLabel.value;
      this.listLabels();
    } });
    this.brushSize = slider("brush radius in voxels", [0, 30, 1], (radius) => { session.brush.radius = radius; session.move(); });
    return this.brushBox = h("span", { class: "mlv-group", hidden: true }, this.brushLabel, this.brushSize);
  }

  planeControl() {
    const { session } = this, options = session.meta.planes.map((p) => h("option", {}, p.name));
    return this.planeSelect = h("select", { "aria-label": "plane", onchange: (event) => { session.plane = event.target.value; session.redraw(); } }, ...options);
  }

  windowControls() {
    const { session } = this, { presets } = session.meta;
    this.preset = h("select", { "aria-label": "window preset", onchange: () => session.setWindow(...presets[+this.preset.value].slice(1)) },
      h("option", { value: "", hidden: true }, "window"), ...presets.map(([name], i) => h("option", { value: i }, name)));
    const change = () => { if (+this.width.value > 0 && this.level.value !== "") session.setWindow(+this.level.value, +this.width.value); };
    this.level = h("input", { type: "number", step: "any", "aria-label": "window level", onchange: change });
    this.width = h("input", { type: "number", step: "any", min: 0, "aria-label": "window width", onchange: change });
    return h("span", { class: "mlv-group" }, ...(presets.length ? [this.preset] : []), h("label", {}, "level ", this.level), h("label", {}, "width ", this.width));
  }

  overlayControls() {
    const { session } = this, { heat } = session.meta;
    this.opacity = slider("opacity", [0, 1, 0.05], (opacity) => { session.opacity = opacity; session.restyle(); });
    this.outline = h("button", { title: "Outlines (o)", onclick: () => this.toggleOutline() }, "outline");
    this.overlayBox = h("span", { class: "mlv-group" }, h("label", {}, "opacity ", this.opacity), this.outline);
    if (heat) {
      this.threshold = slider("threshold of the map", [heat.low, heat.high, (heat.high - heat.low) / 100], (threshold) => { session.threshold = threshold; session.restyle(); });
      const stops = [0, 51, 102, 153, 204, 255].map((i) => rgb(heat.colours[i])).join(", ");
      this.overlayBox.append(h("label", {}, "from ", this.threshold, this.thresholdText = h("output")),
        h("span", { class: "mlv-heat" }, `${+heat.low.toPrecision(3)}`, h("i", { style: `background: linear-gradient(to right, ${stops})` }), `${+heat.high.toPrecision(3)}`));
    }
    return this.overlayBox;
  }

  frameControl() {
    const { session } = this;
    this.frameInput = slider("frame", [0, session.meta.frames - 1, 1], (frame) => session.setFrame(frame));
    return h("span", { class: "mlv-group" }, h("label", {}, "frame ", this.frameInput, this.frameText = h("output")));
  }

  setTool(name) {
    this.session.tool = name;
    if (name === "brush" && this.session.editable) this.session.brushLabel();
    for (const pane of this.panes) pane.cancel();
    this.listLabels();
    this.session.redraw();
  }

  undo() { this.say(this.session.undo() ? "undone" : "nothing to undo"); this.session.redraw(); }

  toggleOutline() { this.session.outline = !this.session.outline; this.session.restyle(); }

  toggleHelp() { this.help.hidden = !this.help.hidden; }

  /** Keys that mean the same in every pane; whether this was one. */
  key(key, event) {
    const { session } = this, { presets } = session.meta, tool = TOOLS.find((t) => t[1] === key);
    if (key >= "1" && key <= "9") { if (presets[key - 1]) session.setWindow(...presets[key - 1].slice(1)); }
    else if (tool && this.tools.some((b) => b.dataset.tool === tool[0])) this.setTool(tool[0]);
    else if (key === "+" || key === "=") this.setZoom(this.zoom * 1.25);
    else if (key === "-") this.setZoom(this.zoom / 1.25);
    else if (key === "0") this.setZoom(1);
    else if (key === "o") this.toggleOutline();
    else if (key === "h") { const on = session.labels.some((l) => l.shown); session.labels.forEach((l) => { l.shown = !on; }); session.restyle(); }
    else if (key === "[" || key === "]") { session.brush.radius = clamp(session.brush.radius + (key === "]" ? 1 : -1), 0, 30); session.move(); }
    else if (key === "u" || (key === "z" && event.ctrlKey)) this.undo();
    else if (key === "," || key === ".") session.setFrame(session.frame + (key === "." ? 1 : -1));
    else if (key === "w") this.worst();
    else if (key === "?") this.toggleHelp();
    else return false;
    return true;
  }

  /** Give the focus back to the notebook. */
  leave(pane) {
    pane.root.blur();
    this.root.parentElement?.closest("[tabindex]")?.focus({ preventScroll: true });
  }

  // --- Zoom

  setZoom(zoom, pane = null, event = null) {
    const before = pane?.under(event), old = this.zoom;
    this.zoom = clamp(zoom, 1, 20);
    if (this.zoom < 1.01) this.zoom = 1;
    if (!pane) this.centre = [...this.session.index];
    else if (this.zoom > 1) { // the voxel under the pointer stays where it is
      const start = old === 1 ? this.session.meta.shape.map((n) => (n - 1) / 2) : this.centre;
      this.centre = start.map((c, a) => before[a] + (c - before[a]) * old / this.zoom);
    }
    this.schedule();
  }

  pan(before, after) {
    this.centre = this.centre.map((c, axis) => c + before[axis] - after[axis]);
    this.schedule();
  }

  // --- Dice of each slice

  bars() {
    this.chart = h("canvas", { class: "mlv-chart", tabindex: 0, role: "slider", "aria-label": "slices by their Dice" });
    this.verdict = h("span", { class: "mlv-verdict" });
    this.worstButton = h("button", { title: "Jump to the worst slice (w)", onclick: () => this.worst() }, "worst slice");
    scrub(this.chart, (share) => { const pane = this.panes[0]; pane.setSlice(Math.floor(share * pane.slices)); });
    this.chart.addEventListener("keydown", (event) => this.panes[0].key(event));
    return h("div", { class: "mlv-bars" }, h("div", { class: "mlv-bars-head" }, this.verdict, this.worstButton), this.chart);
  }

  worst() {
    const pane = this.panes[0], dice = this.session.meta.compare && this.session.diceOf(pane.plane.axes[2]);
    if (!dice) return;
    let worst = -1;
    dice.forEach((value, i) => { if (!Number.isNaN(value) && (worst < 0 || value < dice[worst])) worst = i; });
    if (worst < 0) return;
    pane.setSlice(pane.flip(2, worst));
    this.say(`worst slice: ${pane.slice + 1}, Dice ${dice[worst].toFixed(2)}`);
  }

  drawBars() {
    const { session, chart } = this, pane = this.panes[0], axis = pane.plane.axes[2], key = `${session.version} ${axis}`;
    if (this.diceKey !== key) { this.dice = session.diceOf(axis); this.diceKey = key; }
    const { clientWidth: width, clientHeight: height } = chart, { dice } = this, wide = width / pane.slices;
    const context = cleared(chart, width, height), style = getComputedStyle(this.root);
    context.fillStyle = style.borderTopColor;
    for (const level of [0, 0.5, 1]) context.fillRect(0, Math.round((1 - level) * (height - 1)), width, 1);
    if (!dice) { this.verdict.textContent = "Dice: loading"; return; }
    for (let slice = 0; slice < pane.slices; slice++) {
      const value = dice[pane.flip(2, slice)];
      if (Number.isNaN(value)) continue;
      context.fillStyle = value >= 0.8 ? "#56B4E9" : value >= 0.5 ? "#E69F00" : "#D55E00";
      const top = Math.min(height - 2, (1 - value) * height);
      context.fillRect(slice * wide, top, Math.max(1, wide - (wide > 3 ? 1 : 0)), height - top);
    }
    context.strokeStyle = style.color;
    context.lineWidth = 2;
    context.strokeRect(pane.slice * wide - 1, 1, Math.max(3, wide) + 1, height - 2);
    const here = dice[session.index[axis]], spoken = Number.isNaN(here) ? "no label" : `Dice ${here.toFixed(2)}`;
    this.verdict.textContent = `Dice by slice: ${spoken} in slice ${pane.slice + 1}`;
    slide(chart, pane.slice, pane.slices, `slice ${pane.slice + 1} of ${pane.slices}, ${spoken}`);
  }

  // --- Layout: a row, or, where that shows clearly more, a large pane beside two others or above them

  layout() {
    const room = this.stage.clientWidth, tall = clamp(innerHeight * 0.6 || 500, 260, 600);
    if (!room) return;
    const sizes = this.panes.map((pane) => [pane.widthMm, pane.heightMm]), [[w0, h0], [w1, h1] = []] = sizes;
    const plans = [[[0, 0], [w0, 0], [w0 + w1, 0]], [[0, 0], [w0, 0], [w0, h1]], [[0, 0], [0, h0], [w1, h0]]]; // corners in mm
    const fits = (sizes.length === 3 ? plans : [[[0, 0]]]).map((corners) => {
      const right = Math.max(...sizes.map(([w], i) => corners[i][0] + w)), bottom = Math.max(...sizes.map(([, h], i) => corners[i][1] + h));
      return { corners, right, bottom, scale: Math.min(room / right, tall / bottom) };
    });
    const { corners, right, bottom, scale } = fits.reduce((best, next) => (next.scale > best.scale * 1.3 ? next : best));
    const left = (room - right * scale) / 2;
    this.panes.forEach((pane, i) => {
      [pane.width, pane.height] = sizes[i].map((mm) => Math.max(24, mm * scale));
      const box = { left: left + corners[i][0] * scale, top: corners[i][1] * scale, width: pane.width, height: pane.height };
      for (const [side, length] of Object.entries(box)) pane.root.style[side] = `${length}px`;
    });
    this.stage.style.height = `${Math.max(24, bottom * scale)}px`;
    this.laidOut = true;
    if (this.drawn) this.schedule();
    else this.draw(); // the first picture comes with this frame, not with the next
  }

  // --- Drawing, once a frame at most

  schedule() {
    if (this.scheduled) return;
    this.scheduled = requestAnimationFrame(() => { this.scheduled = 0; this.draw(); });
  }

  draw() {
    if (!this.laidOut || !this.loaded) return;
    this.drawn = true;
    const { session } = this, { meta } = session;
    if (meta.compare && this.panes[0].plane.name !== session.plane) {
      const plane = meta.planes.find((p) => p.name === session.plane);
      this.panes.forEach((pane) => pane.setPlane(plane));
      this.planeSelect.value = session.plane;
      this.layout();
    }
    this.panes.forEach((pane) => pane.draw());
    this.root.dataset.loaded = session.missing.size ? "part" : "all";
    this.drawReadout();
    if (this.controlsVersion !== session.version) { this.controlsVersion = session.version; this.drawControls(); }
    if (meta.compare) this.drawBars();
  }

  /** The voxel that is read out: the one under the pointer, in the slice that is shown there now; else the crosshair's. */
  looked() {
    if (!this.pointer) return this.session.index;
    const { pane, voxel } = this.pointer, n = pane.plane.axes[2];
    return voxel.map((i, axis) => (axis === n ? this.session.index[n] : i));
  }

  drawReadout() {
    const { session } = this, { meta } = session, index = this.looked();
    const full = index.map((i, a) => i * meta.steps[a]), shown = meta.flat ? full.slice(1) : full;
    const names = meta.compare
      ? ["labels", "prediction"].map((layer) => `${layer === "labels" ? "truth" : layer} ${session.labelText(layer, index) || "–"}`)
      : [session.labelText("labels", index)];
    const parts = [`[${shown.join(", ")}]`, meta.flat ? "" : session.positionText(index), session.valueText(index), ...names, session.heatText(index)];
    this.readout.replaceChildren(...parts.filter(Boolean).map((text, i) => h("span", { class: i === 2 - meta.flat ? "mlv-value" : null }, text)));
    const left = session.missing.size;
    this.status.textContent = left ? `loading ${Math.round(100 * (1 - left / session.total))} %` : "";
  }

  drawControls() {
    const { session } = this, [level, width] = session.window;
    for (const button of this.tools) button.setAttribute("aria-pressed", button.dataset.tool === session.tool);
    this.stage.dataset.tool = session.tool;
    if (this.level) {
      for (const [input, value] of [[this.level, level], [this.width, width]]) if (document.activeElement !== input) input.value = +value.toPrecision(6);
      const preset = session.meta.presets.findIndex(([, l, w]) => l === level && w === width);
      this.preset.value = preset < 0 ? "" : preset;
    }
    this.overlayBox.hidden = !session.labels.length && !session.meta.heat;
    this.opacity.value = session.opacity;
    this.outline.setAttribute("aria-pressed", session.outline);
    if (this.threshold) { this.threshold.value = session.threshold; this.thresholdText.textContent = session.threshold.toFixed(2); }
    if (this.brushBox) this.brushBox.hidden = !["brush", "erase"].includes(session.tool);
    if (this.brushBox) this.brushSize.value = session.brush.radius;
    if (this.frameInput) { this.frameInput.value = session.frame; this.frameText.textContent = `${session.frame + 1} / ${session.meta.frames}`; }
    this.listLabels();
  }

  /** The legend: a button a label shows and hides it. */
  listLabels() {
    const { session } = this, { meta } = session, all = session.labels.map((label, i) => ({ label, number: i + 1 }));
    const listed = all.filter(({ label }) => label.count || label.predicted || all.length <= 12);
    const tally = meta.compare && session.tally(this.panes[0].plane.axes[2]);
    const slices = tally && Array.from({ length: tally.n }, (_, i) => i);
    const state = JSON.stringify([listed.map(({ label }) => [label.name, label.count, label.shown]), !!tally, session.brush.label]);
    if (state === this.legendState) return;
    this.legendState = state;
    this.legend.replaceChildren(...listed.map(({ label, number }) => {
      const dice = tally && session.dice(tally, slices, [number]);
      const size = meta.compare ? `${session.sizeText(label.count)} → ${session.sizeText(label.predicted)}` : session.sizeText(label.count);
      return h("button", { class: "mlv-label", "aria-pressed": String(label.shown), title: `${label.shown ? "hide" : "show"} ${label.name}`, onclick: () => { label.shown = !label.shown; session.restyle(); } },
        swatch(label.colour), `${label.name} `, h("small", {}, tally && !Number.isNaN(dice) ? `Dice ${dice.toFixed(3)} · ${size}` : size));
    }));
    if (meta.compare) this.legend.append(...meta.errors.map(([name, colour]) => h("span", { class: "mlv-label" }, swatch(colour), name)));
    if (this.brushLabel) {
      this.brushLabel.replaceChildren(...all.map(({ label, number }) => h("option", { value: number }, label.name)), h("option", { value: "new" }, "new label"));
      this.brushLabel.value = clamp(session.brush.label, 1, Math.max(1, all.length));
    }
  }
}

// --- What the widget manager calls

const sessions = new Map();

function initialize({ model }) {
  const session = new Session(model), key = model.get("_key");
  sessions.set(key, session);
  return () => { session.close(); sessions.delete(key); };
}

function render({ model, el }) {
  const view = new View(sessions.get(model.get("_key")), el);
  return () => view.close();
}

export default { initialize, render };
