// The playground of lesson 40 in the browser: a mask that can be changed, and every metric of it. No dependency, no build
// step: this file is what runs.
//
// All that is shared between displays stands in the model (prediction, spacing, tolerance); a display draws what it finds
// there. The numbers are computed here, so that nothing waits for the kernel of the notebook; tests hold them to
// medlab.metrics.

const WIDTH = 520, HEIGHT = 430; // most that the grid takes, in pixels of the page
const BOTH = "#009E73", ONLY = "#E69F00", MISSED = "#0072B2"; // Okabe and Ito, as in the still picture
const SLACK = 1e-6; // of a tolerance, as in medlab.metrics
const UNDO = 100; // steps that can be taken back

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name.startsWith("on")) element[name] = value; else if (value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** All keys that come without Ctrl, Alt or Cmd are ours, or JupyterLab takes a letter for a command. */
const ownsKey = (event) => !event.altKey && !event.metaKey && !event.ctrlKey;

// --- Metrics. A mask is a Uint8Array of rows times columns; spacing is [height, width] of a pixel in mm.

/** Pixels of the mask with a neighbour above, below, left or right outside of it, as [row, column]. */
function surface(mask, rows, columns) {
  const at = (r, c) => r >= 0 && c >= 0 && r < rows && c < columns && mask[r * columns + c];
  const found = [];
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++)
    if (at(r, c) && !(at(r - 1, c) && at(r + 1, c) && at(r, c - 1) && at(r, c + 1))) found.push([r, c]);
  return found;
}

/** For every place of `from` the distance to the nearest of `to`, and which that is. */
function nearest(from, to, [height, width]) {
  return from.map((a) => {
    let best = Infinity, end = null;
    for (const b of to) {
      const far = ((a[0] - b[0]) * height) ** 2 + ((a[1] - b[1]) * width) ** 2;
      if (far < best) [best, end] = [far, b];
    }
    return { mm: Math.sqrt(best), from: a, to: end };
  });
}

/** As numpy.percentile: linear between neighbours. */
function percentile(distances, percent) {
  const sorted = distances.map(({ mm }) => mm).sort((a, b) => a - b);
  const at = (sorted.length - 1) * percent / 100, below = Math.floor(at), low = sorted[below];
  return at > below && sorted[below + 1] > low ? low + (at - below) * (sorted[below + 1] - low) : low;
}

function evaluate(prediction, truth, rows, columns, spacing, tolerance) {
  let both = 0, predicted = 0, there = 0;
  for (let i = 0; i < truth.length; i++) {
    both += prediction[i] & truth[i];
    predicted += prediction[i];
    there += truth[i];
  }
  const share = (part, whole) => whole ? part / whole : Number(predicted === there); // 0/0: 1 where both are empty
  const a = surface(prediction, rows, columns), b = surface(truth, rows, columns);
  const ways = [nearest(a, b, spacing), nearest(b, a, spacing)], all = ways.flat(), used = ways.filter((way) => way.length);
  const near = all.filter(({ mm }) => mm <= tolerance * (1 + SLACK)).length;
  const longest = all.reduce((most, each) => each.mm > (most?.mm ?? -1) ? each : most, null);
  return {
    dice: share(2 * both, predicted + there),
    iou: share(both, predicted + there - both),
    precision: share(both, predicted),
    recall: share(both, there),
    area_error_mm2: (predicted - there) * spacing[0] * spacing[1],
    hausdorff_mm: longest?.mm ?? 0,
    hd95_mm: used.reduce((most, way) => Math.max(most, percentile(way, 95)), 0),
    average_surface_distance_mm: all.length ? all.reduce((sum, { mm }) => sum + mm, 0) / all.length : 0,
    surface_dice: share(near, all.length),
    longest: longest?.to ? longest : null,
  };
}

// --- Changes of a mask

/** Pixels that hang together with one, corners included; empty where it is not in the mask. */
function part(mask, start, rows, columns) {
  const found = new Uint8Array(mask.length), waiting = mask[start] ? [start] : [];
  if (waiting.length) found[start] = 1;
  while (waiting.length) {
    const i = waiting.pop(), row = Math.floor(i / columns), column = i % columns;
    for (let r = Math.max(0, row - 1); r <= Math.min(rows - 1, row + 1); r++)
      for (let c = Math.max(0, column - 1); c <= Math.min(columns - 1, column + 1); c++)
        if (mask[r * columns + c] && !found[r * columns + c]) {
          found[r * columns + c] = 1;
          waiting.push(r * columns + c);
        }
  }
  return found;
}

/** The mask and its four neighbours; with `keep` 0 the other way round: what is left when the background grows. */
function grown(mask, rows, columns, keep = 1) {
  return mask.map((value, i) => {
    const r = Math.floor(i / columns), c = i % columns;
    const near = [r > 0 ? mask[i - columns] : 0, r < rows - 1 ? mask[i + columns] : 0, c > 0 ? mask[i - 1] : 0, c < columns - 1 ? mask[i + 1] : 0];
    return keep ? Number(value || near.some(Boolean)) : Number(value && near.every(Boolean));
  });
}

/** First and last row and column of a mask that is not empty. */
function box(mask, columns) {
  const places = [];
  mask.forEach((value, i) => { if (value) places.push([Math.floor(i / columns), i % columns]); });
  const [rows, across] = [0, 1].map((axis) => places.map((place) => place[axis]));
  return { top: Math.min(...rows), bottom: Math.max(...rows), left: Math.min(...across), right: Math.max(...across) };
}

function shifted(mask, rows, columns, down, right) {
  const moved = new Uint8Array(mask.length);
  mask.forEach((value, i) => {
    const r = Math.floor(i / columns) + down, c = i % columns + right;
    if (value && r >= 0 && c >= 0 && r < rows && c < columns) moved[r * columns + c] = 1;
  });
  return moved;
}

const bits = (text) => Uint8Array.from(text, Number);

// --- What is shown of the numbers

const SCORES = [ // key, name, unit; without a unit from 0 to 1
  ["dice", "Dice"], ["iou", "IoU"], ["precision", "precision"], ["recall", "recall"], ["surface_dice", "surface Dice"],
  ["area_error_mm2", "area error", "mm²"], ["hausdorff_mm", "Hausdorff", "mm"], ["hd95_mm", "HD95", "mm"],
  ["average_surface_distance_mm", "average distance", "mm"],
];

/** Three decimals for shares, two for millimetres, one for areas; a real minus sign. */
function text(value, unit, signed = false) {
  if (Number.isNaN(value)) return "";
  const digits = unit === "mm²" ? 1 : unit ? 2 : 3;
  const plain = Number.isFinite(value) ? Math.abs(value).toFixed(digits) : "∞";
  const zero = Number(plain) === 0, sign = value < 0 && !zero ? "−" : signed && !zero ? "+" : "";
  return sign + plain;
}

class Playground {
  constructor(model, el) {
    this.model = model;
    [this.rows, this.columns] = model.get("_shape");
    this.truth = bits(model.get("_truth"));
    this.presets = model.get("_presets");
    this.cursor = model.get("_cursor");
    this.tool = "move";
    this.past = [];
    this.root = h("div", { class: "mlo", role: "group", "aria-label": "metrics playground" },
      h("div", { class: "mlo-stage" }, this.grid(), this.numbers()),
      this.tools(),
      h("div", { class: "mlo-help" }, "Drag a part of the mask, or paint. With the keyboard, in the grid: arrow keys move the cursor, with Shift the part under it; Space paints or erases; G grows, K shrinks, X splits, Delete deletes, U undoes. Off every part, all of the mask is meant."),
      this.spoken = h("div", { class: "mlo-spoken", "aria-live": "polite" }));
    this.root.playground = this; // for tests
    this.root.addEventListener("keydown", (event) => { if (ownsKey(event)) event.stopPropagation(); });
    // Notebook 7 looks for its shortcuts before the event gets here, unless the element with the focus says not to.
    this.guard = (event) => { if (this.root.contains(event.target)) event.target.toggleAttribute("data-lm-suppress-shortcuts", ownsKey(event)); };
    addEventListener("keydown", this.guard, { capture: true });
    this.changed = () => this.compute();
    for (const name of ["_prediction", "_spacing", "_tolerance"]) model.on(`change:${name}`, this.changed);
    el.append(this.root);
    this.compute();
    this.before = this.now;
    this.write();
  }

  close() {
    removeEventListener("keydown", this.guard, { capture: true });
    for (const name of ["_prediction", "_spacing", "_tolerance"]) this.model.off?.(`change:${name}`, this.changed);
    clearTimeout(this.saving);
    this.root.remove();
  }

  // --- Parts

  grid() {
    this.canvas = h("canvas");
    this.field = h("div", { class: "mlo-grid", tabindex: 0, role: "application", "aria-roledescription": "mask on a grid" }, this.canvas);
    this.field.addEventListener("pointerdown", (event) => this.down(event));
    this.field.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) this.field.addEventListener(name, () => this.up());
    this.field.addEventListener("keydown", (event) => this.key(event));
    const swatch = (colour, sign, name) => h("span", {}, h("i", { style: `background: ${colour}` }, sign), name);
    const key = h("div", { class: "mlo-key" }, swatch(BOTH, "", "both"), swatch(ONLY, "+", "only predicted"), swatch(MISSED, "−", "missed"),
      h("span", {}, h("i", { class: "mlo-outline" }), "truth"), h("span", {}, h("i", { class: "mlo-arrow" }, "↔"), "Hausdorff distance"));
    return h("div", { class: "mlo-left" }, this.field, key);
  }

  numbers() {
    this.cells = Object.fromEntries(SCORES.map(([key, name, unit]) => {
      const cell = { unit, bar: h("b"), tick: h("u"), value: h("td", { class: "mlo-value" }), change: h("td", { class: "mlo-change" }) };
      const gauge = unit === "mm²" ? h("td") : h("td", {}, h("div", { class: unit ? "mlo-gauge mlo-far" : "mlo-gauge" }, cell.bar, cell.tick));
      cell.row = h("tr", {}, h("th", { scope: "row" }, name), gauge, cell.value, cell.change);
      return [key, cell];
    }));
    const head = h("tr", {}, h("th", { scope: "col" }, "metric"), h("th"), h("th", { scope: "col" }, "now"), h("th", { scope: "col" }, "change"));
    return h("table", { class: "mlo-table" }, h("thead", {}, head), h("tbody", {}, ...Object.values(this.cells).map(({ row }) => row)));
  }

  tools() {
    const radio = (name, label) => h("label", {}, h("input", { type: "radio", name: `mlo-tool-${Playground.count}`, onchange: () => { this.tool = name; this.draw(); }, ...(name === this.tool ? { checked: "" } : {}) }), label);
    const button = (label, act, title) => h("button", { type: "button", title, onclick: act }, label);
    const range = (label, name, attributes, read) => {
      const input = h("input", { type: "range", "aria-label": label, ...attributes, oninput: () => read(input.valueAsNumber) });
      this[name] = { input, value: h("output") };
      return h("label", {}, label, input, this[name].value);
    };
    Playground.count++;
    this.names = h("select", { "aria-label": "start from", onchange: () => this.choose(this.names.value) },
      ...this.presets.map(([name]) => h("option", {}, name)), h("option", {}, "own"));
    this.selected = h("span", { class: "mlo-selected" });
    const set = (name, value) => { this.before = this.now; this.model.set(name, value); this.save(); };
    return h("div", { class: "mlo-tools" },
      h("div", { class: "mlo-row" }, h("label", {}, "Start from", this.names),
        h("span", { role: "radiogroup", "aria-label": "tool", class: "mlo-row" }, radio("move", "move"), radio("paint", "paint"), radio("erase", "erase")),
        button("Grow", () => this.grow(1), "one pixel in every direction (G)"), button("Shrink", () => this.grow(0), "one pixel off every side (K)"),
        button("Split", () => this.split(), "take a line of pixels out of the middle (X)"), button("Delete", () => this.remove(), "delete (Delete)"),
        button("Undo", () => this.undo(), "take back the last change (U)")),
      h("div", { class: "mlo-row" }, this.selected,
        range("height of a pixel", "height", { min: 0.5, max: 6, step: 0.5 }, (mm) => set("_spacing", [mm, this.spacing[1]])),
        range("tolerance of surface Dice", "limit", { min: 0, max: 6, step: 0.5 }, (mm) => set("_tolerance", mm))));
  }

  // --- What is set

  get prediction() { return bits(this.model.get("_prediction")); }

  get spacing() { return this.model.get("_spacing"); }

  get tolerance() { return this.model.get("_tolerance"); }

  /** The part under the cursor, or all where there is none. */
  get chosen() {
    const mask = this.prediction, found = part(mask, this.cursor[0] * this.columns + this.cursor[1], this.rows, this.columns);
    return found.some(Boolean) ? found : mask;
  }

  /** Take over a changed mask; `again` where it belongs to the change before, as in a drag. */
  set(mask, again = false) {
    const old = this.model.get("_prediction"), next = mask.join("");
    if (next === old) return;
    if (!again) {
      this.past = [...this.past.slice(1 - UNDO), old];
      this.before = this.now;
    }
    this.model.set("_prediction", next);
    this.save();
  }

  /** Tell Python, if it listens, but not at every step of the pointer. */
  save() {
    clearTimeout(this.saving);
    this.saving = setTimeout(() => { try { this.model.save_changes(); } catch { /* no kernel: the figure works on */ } }, 200);
  }

  choose(name) {
    const preset = this.presets.find((listed) => listed[0] === name);
    if (preset) this.set(bits(preset[1]));
  }

  undo() {
    const last = this.past.pop();
    if (last === undefined) return;
    this.before = this.now;
    this.model.set("_prediction", last);
    this.save();
  }

  /** Put a changed part in the place of the chosen one. */
  replace(chosen, changed) { this.set(this.prediction.map((value, i) => Number(value && !chosen[i] || changed[i]))); }

  grow(keep) { this.replace(this.chosen, grown(this.chosen, this.rows, this.columns, keep)); }

  remove() { this.replace(this.chosen, new Uint8Array(this.truth.length)); }

  /** Take the middle line out, across the longer side. */
  split() {
    const chosen = this.chosen;
    if (!chosen.some(Boolean)) return;
    const { top, bottom, left, right } = box(chosen, this.columns), tall = bottom - top > right - left;
    const middle = tall ? Math.floor((top + bottom + 1) / 2) : Math.floor((left + right + 1) / 2);
    this.replace(chosen, chosen.map((value, i) => Number(value && (tall ? Math.floor(i / this.columns) : i % this.columns) !== middle)));
  }

  /** Shift a part, but not out of the grid. `rest` is what stays where it is. */
  shift(chosen, rest, down, right, again) {
    const edge = box(chosen, this.columns);
    down = clamp(down, -edge.top, this.rows - 1 - edge.bottom);
    right = clamp(right, -edge.left, this.columns - 1 - edge.right);
    const moved = shifted(chosen, this.rows, this.columns, down, right);
    this.set(rest.map((value, i) => Number(value || moved[i])), again);
    return [down, right];
  }

  // --- Pointer and keys

  place(event) {
    const area = this.canvas.getBoundingClientRect();
    const row = Math.floor((event.clientY - area.top) / area.height * this.rows), column = Math.floor((event.clientX - area.left) / area.width * this.columns);
    return [clamp(row, 0, this.rows - 1), clamp(column, 0, this.columns - 1)];
  }

  down(event) {
    if (event.button) return;
    this.field.setPointerCapture(event.pointerId);
    this.cursor = this.place(event);
    const chosen = this.chosen, mask = this.prediction;
    this.held = { start: this.cursor, chosen, rest: mask.map((value, i) => Number(value && !chosen[i])), moved: false };
    if (this.tool === "move") this.draw(); else this.paint(this.cursor);
  }

  drag(event) {
    if (!this.held) return;
    const { start, chosen, rest, moved } = this.held, to = this.place(event);
    if (this.tool !== "move") { this.paint(to); return; }
    if (!chosen.some(Boolean)) return;
    const was = this.model.get("_prediction");
    const [down, right] = this.shift(chosen, rest, to[0] - start[0], to[1] - start[1], moved);
    this.held.moved ||= was !== this.model.get("_prediction");
    this.cursor = [start[0] + down, start[1] + right];
    this.draw();
  }

  up() {
    if (this.held) this.tell();
    this.held = null;
  }

  /** Paint or erase from the cursor to here, without gaps where the pointer was quick. */
  paint(to) {
    const mask = this.prediction, [from, steps] = [this.cursor, Math.max(Math.abs(to[0] - this.cursor[0]), Math.abs(to[1] - this.cursor[1]), 1)];
    for (let s = 0; s <= steps; s++) {
      const [row, column] = [0, 1].map((axis) => Math.round(from[axis] + (to[axis] - from[axis]) * s / steps));
      mask[row * this.columns + column] = Number(this.tool === "paint");
    }
    const was = this.model.get("_prediction");
    this.cursor = to;
    this.set(mask, this.held.moved);
    this.held.moved ||= was !== this.model.get("_prediction");
    this.draw();
  }

  key(event) {
    if (!ownsKey(event)) return;
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const acts = { " ": () => this.toggle(), g: () => this.grow(1), k: () => this.grow(0), x: () => this.split(), delete: () => this.remove(), backspace: () => this.remove(), u: () => this.undo() };
    const act = acts[event.key.toLowerCase()];
    if (event.key in steps) this.step(...steps[event.key], event.shiftKey);
    else if (act) act();
    else if (event.key === "Escape") this.field.blur();
    else return;
    event.preventDefault();
    this.tell();
  }

  step(down, right, withPart) {
    const chosen = this.chosen;
    if (withPart && chosen.some(Boolean)) {
      const rest = this.prediction.map((value, i) => Number(value && !chosen[i]));
      [down, right] = this.shift(chosen, rest, down, right);
    }
    this.cursor = [clamp(this.cursor[0] + down, 0, this.rows - 1), clamp(this.cursor[1] + right, 0, this.columns - 1)];
    this.draw();
  }

  toggle() {
    const mask = this.prediction, i = this.cursor[0] * this.columns + this.cursor[1];
    mask[i] = 1 - mask[i];
    this.set(mask);
  }

  // --- Numbers and drawing

  evaluate(prediction, truth, spacing, tolerance) {
    return evaluate(prediction, truth, this.rows, this.columns, spacing, tolerance);
  }

  compute() {
    this.now = this.evaluate(this.prediction, this.truth, this.spacing, this.tolerance);
    this.write();
    this.draw();
    if (!this.held) this.tell();
  }

  write() {
    const before = this.before ?? this.now, far = Math.hypot(this.rows * this.spacing[0], this.columns * this.spacing[1]);
    for (const [key, { unit, bar, tick, value, change }] of Object.entries(this.cells)) {
      const now = this.now[key], was = before[key], share = (number) => `${100 * clamp(unit ? number / far : number, 0, 1)}%`;
      value.textContent = text(now, unit, unit === "mm²") + (unit ? ` ${unit}` : "");
      change.textContent = now === was ? "" : text(now - was, unit, true);
      bar.style.width = share(now);
      bar.classList.toggle("mlo-endless", !Number.isFinite(now));
      tick.style.left = share(was);
    }
    const [height] = this.spacing;
    this.height.input.value = height;
    this.limit.input.value = this.tolerance;
    this.height.value.textContent = `${height} mm (width ${this.spacing[1]} mm)`;
    this.limit.value.textContent = `${this.tolerance} mm`;
    const mask = this.model.get("_prediction");
    this.names.value = this.presets.find((listed) => listed[1] === mask)?.[0] ?? "own";
  }

  /** For those who do not see the grid, and only what changed. */
  tell() {
    const { dice, hd95_mm } = this.now, [row, column] = this.cursor, i = row * this.columns + column;
    const what = [["outside of both", "missed"], ["only predicted", "in both"]][this.prediction[i]][this.truth[i]];
    this.field.setAttribute("aria-label", `prediction over truth, ${this.rows} rows, ${this.columns} columns; cursor in row ${row}, column ${column}: ${what}`);
    const line = `Dice ${text(dice)}, HD95 ${text(hd95_mm, "mm")} mm`;
    if (line !== this.told) this.spoken.textContent = line;
    this.told = line;
  }

  draw() {
    const [height, width] = this.spacing, dots = globalThis.devicePixelRatio || 1;
    const scale = Math.min(WIDTH / (this.columns * width), HEIGHT / (this.rows * height));
    const across = scale * width, down = scale * height, size = [this.columns * across, this.rows * down];
    const { canvas } = this, wide = Math.round(size[0] * dots), high = Math.round(size[1] * dots);
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    canvas.style.cssText = `width: ${size[0]}px; height: ${size[1]}px`;
    const pen = canvas.getContext("2d");
    pen.setTransform(wide / size[0], 0, 0, high / size[1], 0, 0);
    this.drawCells(pen, across, down);
    this.drawOutline(pen, across, down, this.truth, "#000", 2.5);
    const chosen = this.chosen, count = chosen.reduce((sum, value) => sum + value, 0), all = this.prediction.reduce((sum, value) => sum + value, 0);
    this.selected.textContent = count === all ? `acts on all ${all} pixels` : `acts on this part: ${count} of ${all} pixels`;
    if (this.now.longest) this.drawArrow(pen, across, down, this.now.longest);
    for (const [colour, dashes] of [["#fff", []], ["#000", [4, 3]]]) {
      pen.setLineDash(dashes);
      pen.lineWidth = 2;
      pen.strokeStyle = colour;
      pen.strokeRect(this.cursor[1] * across + 1, this.cursor[0] * down + 1, across - 2, down - 2);
    }
    pen.setLineDash([]);
    this.field.classList.toggle("mlo-moves", this.tool === "move");
  }

  drawCells(pen, across, down) {
    const mask = this.prediction;
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, this.columns * across, this.rows * down);
    pen.font = `600 ${clamp(Math.min(across, down) * 0.8, 6, 16)}px system-ui, sans-serif`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    for (let i = 0; i < mask.length; i++) {
      const x = i % this.columns * across, y = Math.floor(i / this.columns) * down;
      const [colour, sign] = [["#fff", ""], [MISSED, "−"], [ONLY, "+"], [BOTH, ""]][2 * mask[i] + this.truth[i]];
      pen.fillStyle = colour;
      pen.fillRect(x, y, across, down);
      pen.strokeStyle = "#0001";
      pen.lineWidth = 1;
      pen.strokeRect(x, y, across, down);
      pen.fillStyle = mask[i] ? "#000" : "#fff";
      if (sign && Math.min(across, down) >= 7) pen.fillText(sign, x + across / 2, y + down / 2 + 1);
    }
  }

  /** Lines between pixels of the mask and pixels outside. */
  drawOutline(pen, across, down, mask, colour, width) {
    const at = (r, c) => r >= 0 && c >= 0 && r < this.rows && c < this.columns && mask[r * this.columns + c];
    pen.beginPath();
    for (let r = 0; r <= this.rows; r++) for (let c = 0; c <= this.columns; c++) {
      if (Boolean(at(r, c)) !== Boolean(at(r - 1, c))) { pen.moveTo(c * across, r * down); pen.lineTo((c + 1) * across, r * down); }
      if (Boolean(at(r, c)) !== Boolean(at(r, c - 1))) { pen.moveTo(c * across, r * down); pen.lineTo(c * across, (r + 1) * down); }
    }
    pen.lineCap = "square";
    pen.lineWidth = width;
    pen.strokeStyle = colour;
    pen.stroke();
  }

  /** From the surface pixel that is farthest from the other surface to the nearest one there. */
  drawArrow(pen, across, down, { mm, from, to }) {
    if (!mm) return;
    const ends = [from, to].map(([r, c]) => [(c + 0.5) * across, (r + 0.5) * down]);
    for (const [colour, width] of [["#fff", 5], ["#000", 2]]) {
      pen.beginPath();
      pen.moveTo(...ends[0]);
      pen.lineTo(...ends[1]);
      pen.strokeStyle = pen.fillStyle = colour;
      pen.lineWidth = width;
      pen.stroke();
      for (const [x, y] of ends) { pen.beginPath(); pen.arc(x, y, width + 1.5, 0, 7); pen.fill(); }
    }
    const label = `${text(mm, "mm")} mm`;
    const top = Math.min(ends[0][1], ends[1][1]) - 14, bottom = Math.max(ends[0][1], ends[1][1]) + 14;
    const x = clamp((ends[0][0] + ends[1][0]) / 2, 34, this.columns * across - 34), y = top < 8 ? bottom : top;
    pen.font = "600 12px system-ui, sans-serif";
    pen.lineWidth = 4;
    pen.strokeStyle = "#fff";
    pen.strokeText(label, x, y);
    pen.fillStyle = "#000";
    pen.fillText(label, x, y);
  }
}
Playground.count = 0; // so that the tools of two playgrounds in a page are two groups

function initialize() {}

function render({ model, el }) {
  const playground = new Playground(model, el);
  return () => playground.close();
}

export default { initialize, render };
