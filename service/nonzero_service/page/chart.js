// A chart: lines or stacked areas over examples or time, with marks, a cursor, and a table behind it.

import { html, refill, say, svg } from "./dom.js";
import { scale, ticks, timeTicks } from "./scales.js";
import { count, moment } from "./words.js";

const MARGIN = { left: 52, right: 20, top: 24, bottom: 42 };
const TICK = 28; // pixels from one named value to the next, at least
const COMPACT = new Intl.NumberFormat("en", { notation: "compact" });
const MARK = 9; // the radius of a mark's number

/** What lies at a point, in words. */
const where = (point, byTime) =>
  byTime
    ? `${moment(point.time)} to ${moment(point.end)}`
    : `examples ${count(point.start + 1)} to ${count(point.sequence)}`;

export class Chart {
  /**
   * @param section what it stands in, below its heading
   * @param height in pixels
   */
  constructor(section, height) {
    this.height = height;
    this.title = section.querySelector("h2").textContent;
    this.legend = html("ul", { class: "legend" });
    this.picture = svg("svg", { role: "img", class: "plot" });
    this.readout = html("p", { class: "readout quiet" });
    this.frame = html("div", { class: "frame", tabindex: "0", role: "group", "aria-label": `${this.title}: arrow keys read the values` }, this.picture);
    this.table = html("table");
    this.behind = html("details", {}, html("summary", {}, "As a table"), html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${this.title}, as a table` }, this.table));
    section.append(this.legend, this.frame, this.readout, this.behind);
    this.at = null;
    this.behind.addEventListener("toggle", () => this.#tabulate());
    this.frame.addEventListener("pointermove", (event) => this.#point(event));
    this.frame.addEventListener("pointerleave", () => this.#read(null));
    this.frame.addEventListener("blur", () => this.#read(null));
    this.frame.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#redraw()).observe(this.frame);
  }

  /**
   * Draw what is given.
   *
   * points: sums of rows; byTime: whether the axis is of time; series: name, style, value of a point;
   * text: writes a value; tick: writes one of an axis, where that is another way; said: the chart in a sentence; marks: place, number, kind; zero: whether 0 is on the
   * axis, and what it is called; stacked: whether series are shares of a whole.
   */
  draw(drawn) {
    this.drawn = drawn;
    this.picture.setAttribute("aria-label", drawn.said);
    refill(this.legend, drawn.series.length < 2 ? [] : drawn.series.map((one) => html("li", { class: one.style }, one.name)));
    if (this.at !== null && this.at >= drawn.points.length) this.at = null;
    this.#redraw();
    this.#tabulate();
  }

  #redraw() {
    const width = Math.floor(this.frame.clientWidth);
    if (!this.drawn || !width) return;
    const { points, byTime, series, stacked, zero, text, tick: named = text, marks } = this.drawn;
    const { height } = this;
    this.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.picture.setAttribute("height", height);
    const parts = [];
    const [from, to] = this.#reach();
    const x = (this.x = scale(from, to, MARGIN.left, width - MARGIN.right));
    const values = series.flatMap((one) => points.map(one.value)).filter(Number.isFinite);
    let [low, high] = stacked ? [0, 1] : [Math.min(...values), Math.max(...values)];
    if (zero !== undefined) [low, high] = [Math.min(0, low), Math.max(0, high)];
    if (!stacked) {
      const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
      [low, high] = [low < 0 || zero === undefined ? low - room : low, high > 0 || zero === undefined ? high + room : high];
    }
    const y = (this.y = scale(low, high, height - MARGIN.bottom, MARGIN.top));
    for (const tick of ticks(low, high, (height - MARGIN.top - MARGIN.bottom) / TICK)) {
      const at = y(tick).toFixed(1);
      parts.push(
        svg("line", { class: tick === 0 && zero ? "zero" : "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: at, y2: at }),
        svg("text", { class: "tick", x: MARGIN.left - 7, y: at, dy: "0.32em", "text-anchor": "end" }, named(tick)),
      );
    }
    if (zero && low < 0 && high > 0) parts.push(svg("text", { class: "tick", x: width - MARGIN.right, y: y(0) + 14, "text-anchor": "end" }, zero));
    const across = byTime ? timeTicks(from, to, width / 95) : { ticks: ticks(from, to, width / 95), text: (n) => COMPACT.format(n) };
    for (const tick of across.ticks)
      parts.push(svg("text", { class: "tick", x: x(tick).toFixed(1), y: height - MARGIN.bottom + 18, "text-anchor": "middle" }, across.text(tick)));
    parts.push(svg("text", { class: "tick", x: width - MARGIN.right, y: height - 6, "text-anchor": "end" }, byTime ? "time" : "examples learned from"));
    parts.push(...(stacked ? this.#areas() : this.#lines()), ...this.#marked(marks, from, to), (this.cursor = svg("g")));
    this.picture.replaceChildren(...parts);
    this.#read(this.at);
  }

  #reach() {
    const { points, byTime } = this.drawn;
    if (!points.length) return [0, 1];
    return byTime ? [points[0].time, points.at(-1).end] : [points[0].start, points.at(-1).sequence];
  }

  #middle(point) {
    return this.x(this.drawn.byTime ? (point.time + point.end) / 2 : (point.start + point.sequence) / 2);
  }

  #lines() {
    const { points, series, zero } = this.drawn;
    return series.flatMap((one) => {
      let line = "";
      let pen = false;
      const dots = [];
      points.forEach((point, i) => {
        const value = one.value(point);
        if (!Number.isFinite(value)) return (pen = false);
        const alone = (!pen || point.apart) && (i + 1 === points.length || points[i + 1].apart);
        const [px, py] = [this.#middle(point).toFixed(1), this.y(value).toFixed(1)];
        line += `${pen && !point.apart ? "L" : "M"}${px} ${py}`;
        if (alone) dots.push(svg("circle", { class: `dot ${one.style}`, cx: px, cy: py, r: 3 }));
        return (pen = true);
      });
      const drawn = [svg("path", { class: `line ${one.style}`, d: line }), ...dots];
      if (zero && points.length > 1 && !points.some((point) => point.apart) && series.length === 1) {
        const [first, last] = [this.#middle(points[0]).toFixed(1), this.#middle(points.at(-1)).toFixed(1)];
        drawn.unshift(svg("path", { class: `under ${one.style}`, d: `${line}L${last} ${this.y(0)}L${first} ${this.y(0)}Z` }));
      }
      return drawn;
    });
  }

  #areas() {
    const { points, series } = this.drawn;
    const below = points.map(() => 0);
    return series.map((one) => {
      const up = [];
      const down = [];
      points.forEach((point, i) => {
        const px = this.#middle(point).toFixed(1);
        down.unshift(`${px} ${this.y(below[i]).toFixed(1)}`);
        below[i] += one.value(point) || 0;
        up.push(`${px} ${this.y(below[i]).toFixed(1)}`);
      });
      return svg("path", { class: `area ${one.style}`, d: up.length ? `M${[...up, ...down].join("L")}Z` : "" });
    });
  }

  #marked(marks, from, to) {
    let free = -Infinity;
    return marks
      .filter((mark) => mark.at >= from && mark.at <= to)
      .map((mark) => {
        const at = this.x(mark.at);
        const group = svg("g", { class: `mark ${mark.kind}` }, svg("line", { x1: at, x2: at, y1: MARGIN.top - 4, y2: this.height - MARGIN.bottom }));
        if (at - free >= 2 * MARK) { // marks that are close share the number of the first
          free = at;
          group.append(
            svg("circle", { cx: at, cy: MARK + 2, r: MARK }),
            svg("text", { x: at, y: MARK + 2, dy: "0.35em", "text-anchor": "middle" }, String(mark.number)),
          );
        }
        return group;
      });
  }

  #point(event) {
    const { points } = this.drawn ?? { points: [] };
    if (!points.length || !this.x) return;
    const at = event.clientX - this.picture.getBoundingClientRect().left;
    let best = 0;
    points.forEach((point, i) => {
      if (Math.abs(this.#middle(point) - at) < Math.abs(this.#middle(points[best]) - at)) best = i;
    });
    this.readout.removeAttribute("aria-live");
    this.#read(best);
  }

  #key(event) {
    const last = (this.drawn?.points.length ?? 0) - 1;
    if (last < 0) return;
    const to = {
      ArrowLeft: (this.at ?? last + 1) - 1,
      ArrowRight: (this.at ?? -1) + 1,
      Home: 0,
      End: last,
      Escape: null,
    }[event.key];
    if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.readout.setAttribute("aria-live", "polite"); // what is asked for by keys is read out
    this.#read(to === null ? null : Math.min(last, Math.max(0, to)));
  }

  #read(at) {
    this.at = at;
    if (!this.cursor) return;
    const { points, byTime, series, text, stacked } = this.drawn;
    const point = at === null ? undefined : points[at];
    if (!point) {
      this.cursor.replaceChildren();
      say(this.readout, "");
      return;
    }
    const px = this.#middle(point).toFixed(1);
    const dots = stacked ? [] : series.filter((one) => Number.isFinite(one.value(point))).map((one) => svg("circle", { class: `dot ${one.style}`, cx: px, cy: this.y(one.value(point)).toFixed(1), r: 3.5 }));
    this.cursor.replaceChildren(svg("line", { class: "cursor", x1: px, x2: px, y1: MARGIN.top, y2: this.height - MARGIN.bottom }), ...dots);
    const said = series.map((one) => `${one.short ?? one.name} ${text(one.value(point))}`).join(", ");
    say(this.readout, `${where(point, byTime)}: ${said}`);
  }

  #tabulate() {
    if (!this.behind.open || !this.drawn) return;
    const { points, byTime, series, text } = this.drawn;
    const heads = [byTime ? "Time" : "Examples", ...series.map((one) => one.name)];
    refill(this.table, [
      html("caption", { class: "unseen" }, this.title),
      html("thead", {}, html("tr", {}, ...heads.map((name, i) => html("th", { scope: "col", class: i ? "number" : null }, name)))),
      html("tbody", {}, ...points.map((point) =>
        html("tr", {}, html("th", { scope: "row" }, where(point, byTime).replace("examples ", "")), ...series.map((one) => html("td", { class: "number" }, text(one.value(point))))))),
    ]);
  }
}
