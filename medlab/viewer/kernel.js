// The kernel editor of lesson 20 in the browser. No dependency, no build step: this file is what runs.
//
// All that is shared between displays stands in the model (weights, divisor, cursor); a display draws what it finds
// there. Nothing waits for the kernel of the notebook.

const MARK = "#F0E442"; // around the window, as in the still picture
const WIDTH = 300, HEIGHT = 360; // most that a picture takes, in pixels of the page

function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (name.startsWith("on")) element[name] = value; else if (value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** A number in at most five digits, with a real minus sign. */
function short(value) {
  const text = Number.isInteger(value) && Math.abs(value) < 1e6 ? String(value) : String(Number(value.toPrecision(4)));
  return text.replace("-", "−");
}

/** All keys that come without Ctrl, Alt or Cmd are ours, or JupyterLab takes a letter for a command. */
const ownsKey = (event) => !event.altKey && !event.metaKey && !event.ctrlKey;

class Editor {
  constructor(model, el) {
    this.model = model;
    [this.rows, this.columns] = model.get("_shape");
    const bytes = model.get("_preview"), count = this.rows * this.columns;
    this.picture = Float32Array.from({ length: count }, (_, i) => bytes.getFloat32(4 * i, true));
    [this.low, this.high] = model.get("_limits");
    this.stops = model.get("_diverging");
    const scale = Math.min(WIDTH / this.columns, HEIGHT / (this.rows * model.get("_aspect")));
    this.across = scale;
    this.down = scale * model.get("_aspect");
    this.slice = this.pane("slice", "Slice");
    this.output = this.pane("response", "Response");
    this.root = h("div", { class: "mlk", role: "group", "aria-label": "kernel editor" },
      h("div", { class: "mlk-stage" }, this.slice.figure, this.controls(), this.output.figure),
      this.arithmetic = h("div", { class: "mlk-sum" }),
      this.help = h("div", { class: "mlk-help" }),
      this.spoken = h("div", { class: "mlk-spoken", "aria-live": "polite" }));
    this.root.editor = this; // for tests
    this.root.addEventListener("keydown", (event) => { if (ownsKey(event)) event.stopPropagation(); });
    // Notebook 7 looks for its shortcuts before the event gets here, unless the element with the focus says not to.
    this.guard = (event) => { if (this.root.contains(event.target)) event.target.toggleAttribute("data-lm-suppress-shortcuts", ownsKey(event)); };
    addEventListener("keydown", this.guard, { capture: true });
    this.changed = () => this.compute();
    this.moved = () => this.draw();
    for (const name of ["_weights", "_divisor"]) model.on(`change:${name}`, this.changed);
    model.on("change:_cursor", this.moved);
    el.append(this.root);
    this.compute();
  }

  close() {
    removeEventListener("keydown", this.guard, { capture: true });
    for (const name of ["_weights", "_divisor"]) this.model.off?.(`change:${name}`, this.changed);
    this.model.off?.("change:_cursor", this.moved);
    clearTimeout(this.saving);
    this.root.remove();
  }

  // --- Parts

  pane(name, title) {
    const width = Math.round(this.columns * this.across), height = Math.round(this.rows * this.down);
    const dots = globalThis.devicePixelRatio || 1;
    const canvas = h("canvas", { width: width * dots, height: height * dots, style: `width: ${width}px; height: ${height}px` });
    const places = ["left", "right", "top", "bottom"];
    const letters = this.model.get("_letters").map((letter, i) => h("span", { class: `mlk-${places[i]}` }, letter));
    const root = h("div", { class: "mlk-pane", tabindex: 0, role: "slider", "aria-label": `${name}: pixel`,
      "aria-valuemin": 0, "aria-valuemax": this.rows * this.columns - 1 }, canvas, ...letters);
    root.addEventListener("pointermove", (event) => { if (!this.held) this.point(event, root); });
    root.addEventListener("pointerdown", (event) => { this.held = !this.held; this.point(event, root); this.draw(); });
    root.addEventListener("keydown", (event) => this.key(event));
    const key = h("div", { class: "mlk-key" });
    return { canvas, root, key, dots, pixels: new OffscreenCanvas(this.columns, this.rows),
      figure: h("figure", {}, h("figcaption", {}, title), root, key) };
  }

  controls() {
    this.inputs = Array.from({ length: 9 }, (_, i) => h("input", {
      type: "number", step: "any", "aria-label": `weight in row ${Math.floor(i / 3) + 1}, column ${i % 3 + 1}`,
      oninput: () => this.read(), onblur: () => this.write(),
    }));
    this.divisor = h("input", { type: "number", step: "any", class: "mlk-divisor", "aria-label": "divisor", oninput: () => this.read(), onblur: () => this.write() });
    for (const input of [...this.inputs, this.divisor]) input.addEventListener("keydown", (event) => step(event, input));
    this.names = h("select", { "aria-label": "preset", onchange: () => this.choose(this.names.value) },
      ...this.model.get("_presets").map(([name]) => h("option", {}, name)), h("option", {}, "own"));
    return h("div", { class: "mlk-panel" },
      h("label", {}, "Kernel", this.names),
      h("div", { class: "mlk-weights", role: "group", "aria-label": "weights" }, ...this.inputs),
      h("label", {}, "divided by", this.divisor),
      h("div", { class: "mlk-row" },
        h("button", { type: "button", onclick: () => this.set([...this.weights].reverse(), this.over) }, "Turn by 180°"),
        h("button", { type: "button", onclick: () => this.set(this.weights.map((w) => -w + 0), this.over) }, "Change signs")));
  }

  // --- What is set

  get weights() { return this.model.get("_weights"); }

  get over() { return this.model.get("_divisor"); }

  get cursor() { return this.model.get("_cursor"); }

  set(weights, divisor) {
    this.model.set("_weights", weights);
    this.model.set("_divisor", divisor);
    this.save();
  }

  /** Take what stands in the fields; a field that holds no number is marked, and the last number stays. */
  read() {
    const old = [...this.weights, this.over];
    const fields = [...this.inputs, this.divisor];
    const numbers = fields.map((field, i) => {
      const number = field.valueAsNumber, good = Number.isFinite(number) && !(i === 9 && number === 0);
      field.setAttribute("aria-invalid", String(!good));
      return good ? number : old[i];
    });
    this.set(numbers.slice(0, 9), numbers[9]);
  }

  /** Put what holds into the fields, but not into one that is being typed in. */
  write() {
    [...this.inputs, this.divisor].forEach((field, i) => {
      const value = i < 9 ? this.weights[i] : this.over;
      if (field.matches(":focus") && (field.getAttribute("aria-invalid") === "true" || field.valueAsNumber === value)) return;
      field.value = String(Number(value.toPrecision(6)));
      field.setAttribute("aria-invalid", "false");
    });
    this.names.value = this.presetName();
  }

  presetName() {
    const same = ([, weights, divisor]) => divisor === this.over && weights.every((w, i) => w === this.weights[i]);
    return this.model.get("_presets").find(same)?.[0] ?? "own";
  }

  choose(name) {
    const preset = this.model.get("_presets").find((listed) => listed[0] === name);
    if (preset) this.set([...preset[1]], preset[2]);
  }

  move(row, column) {
    const to = [clamp(row, 0, this.rows - 1), clamp(column, 0, this.columns - 1)];
    if (to[0] === this.cursor[0] && to[1] === this.cursor[1]) return;
    this.model.set("_cursor", to);
    this.save();
  }

  /** Tell Python, if it listens, but not at every step of the pointer. */
  save() {
    clearTimeout(this.saving);
    this.saving = setTimeout(() => { try { this.model.save_changes(); } catch { /* no kernel: the figure works on */ } }, 200);
  }

  point(event, root) {
    const box = root.getBoundingClientRect();
    this.move(Math.floor((event.clientY - box.top) / box.height * this.rows), Math.floor((event.clientX - box.left) / box.width * this.columns));
  }

  key(event) {
    if (!ownsKey(event)) return;
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.key in steps) {
      const [row, column] = this.cursor, far = event.shiftKey ? 10 : 1, [down, right] = steps[event.key];
      this.held = true; // who uses keys does not want the mouse to interfere
      this.move(row + far * down, column + far * right);
      event.preventDefault();
    } else if (event.key === "Escape") {
      event.target.blur();
    }
  }

  // --- Numbers

  at(row, column) {
    return row < 0 || column < 0 || row >= this.rows || column >= this.columns ? 0 : this.picture[row * this.columns + column];
  }

  compute() {
    const { weights, over, rows, columns, picture } = this;
    const response = this.response = new Float64Array(rows * columns);
    for (let a = 0; a < 3; a++) for (let b = 0; b < 3; b++) {
      const weight = weights[3 * a + b] / over;
      if (weight === 0) continue;
      for (let i = Math.max(0, 1 - a); i < Math.min(rows, rows + 1 - a); i++) {
        const from = (i + a - 1) * columns + b - 1, to = i * columns;
        for (let j = Math.max(0, 1 - b); j < Math.min(columns, columns + 1 - b); j++) response[to + j] += weight * picture[from + j];
      }
    }
    this.most = response.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    this.signed = response.some((value) => value < 0);
    this.write();
    this.paint(this.slice, picture, false);
    this.paint(this.output, response, this.signed);
    this.draw();
  }

  /** One pixel of the picture is one pixel here; `draw` makes it large. */
  paint(pane, values, signed) {
    const context = pane.pixels.getContext("2d"), image = context.createImageData(this.columns, this.rows);
    const words = new Uint32Array(image.data.buffer);
    for (let i = 0; i < words.length; i++) {
      const [r, g, b] = signed ? this.hue(values[i] / this.most) : this.grey(values[i]);
      words[i] = (255 << 24 | b << 16 | g << 8 | r) >>> 0;
    }
    context.putImageData(image, 0, 0);
    const css = (colour) => `rgb(${colour.join(" ")})`;
    const bar = signed ? [-1, -0.5, 0, 0.5, 1].map((share) => css(this.hue(share))) : ["#000", "#fff"];
    const ends = signed ? [-this.most, this.most] : [this.low, this.high];
    pane.key.replaceChildren(short(ends[0]), h("i", { style: `background: linear-gradient(90deg, ${bar.join(", ")})` }), short(ends[1]));
  }

  grey(value) {
    const grey = Math.floor(clamp((value - this.low) / (this.high - this.low), 0, 1) * 255 + 0.5);
    return [grey, grey, grey];
  }

  hue(share) {
    const place = (share + 1) * 2, left = Math.min(3, Math.floor(place)), part = place - left;
    return [0, 1, 2].map((c) => Math.floor(this.stops[left][c] * (1 - part) + this.stops[left + 1][c] * part + 0.5));
  }

  // --- Drawing

  draw() {
    this.frame(this.slice, 1);
    this.frame(this.output, 0);
    this.help.textContent = this.held
      ? "Held: click to follow the pointer again. Arrow keys move by 1 pixel, with Shift by 10."
      : "Point at a pixel (row, column) to see its arithmetic, click to hold it. Arrow keys move by 1 pixel, with Shift by 10.";
    this.explain();
  }

  /** A picture with the window around the cursor: `reach` pixels to each side. */
  frame({ canvas, pixels, dots }, reach) {
    const context = canvas.getContext("2d"), { width, height } = canvas;
    context.imageSmoothingEnabled = false;
    context.drawImage(pixels, 0, 0, width, height);
    const [row, column] = this.cursor, across = width / this.columns, down = height / this.rows, wide = 2 * reach + 1;
    const box = [(column - reach) * across, (row - reach) * down, wide * across, wide * down];
    context.lineWidth = 4 * dots;
    context.strokeStyle = "#000";
    context.strokeRect(...box);
    context.lineWidth = 2 * dots;
    context.strokeStyle = MARK;
    context.strokeRect(...box);
  }

  explain() {
    const [row, column] = this.cursor, { weights, over } = this;
    const places = Array.from({ length: 9 }, (_, i) => [row + Math.floor(i / 3) - 1, column + i % 3 - 1]);
    const values = places.map(([i, j]) => this.at(i, j)), products = values.map((value, i) => value * weights[i]);
    const inside = places.map(([i, j]) => i >= 0 && j >= 0 && i < this.rows && j < this.columns);
    const sum = products.reduce((total, value) => total + value, 0), result = sum / over;
    const sign = (text) => h("span", { class: "mlk-sign" }, text);
    const last = over === 1 ? ["sum = ", h("strong", {}, short(result))] : [`sum ${short(sum)}, divided by ${short(over)} = `, h("strong", {}, short(result))];
    this.arithmetic.replaceChildren(
      table(`window at (${row}, ${column})`, values, inside), sign("×"), table("kernel", weights), sign("="),
      table("products", products), sign("→"), h("div", { class: "mlk-result" }, ...last));
    const text = `row ${row}, column ${column}: value ${short(this.at(row, column))}, response ${short(result)}`;
    for (const { root } of [this.slice, this.output]) {
      root.setAttribute("aria-valuenow", row * this.columns + column);
      root.setAttribute("aria-valuetext", text);
    }
    const preset = this.presetName();
    if (preset !== this.told) this.spoken.textContent = `kernel ${preset}`;
    this.told = preset;
  }
}

/** Arrow keys change a number by 1, whatever it is; fields with step "any" leave that to the browser. */
function step(event, input) {
  const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  if (!by || !ownsKey(event)) return;
  event.preventDefault();
  const value = (Number.isFinite(input.valueAsNumber) ? input.valueAsNumber : 0) + by;
  input.value = String(Number(value.toPrecision(12)));
  input.oninput();
}

function table(caption, values, inside) {
  const cell = (value, i) => {
    const outside = inside && !inside[i];
    return h("td", outside ? { class: "mlk-outside", title: "outside of the picture: padded with 0" } : {}, short(value));
  };
  const rows = [0, 1, 2].map((r) => h("tr", {}, ...values.slice(3 * r, 3 * r + 3).map((value, c) => cell(value, 3 * r + c))));
  return h("table", {}, h("caption", {}, caption), h("tbody", {}, ...rows));
}

function initialize() {}

function render({ model, el }) {
  const editor = new Editor(model, el);
  return () => editor.close();
}

export default { initialize, render };
