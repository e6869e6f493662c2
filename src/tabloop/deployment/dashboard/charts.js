// Charts as SVG, in the look of the reports: each with its words, and with its values as a table.

import { h, s, stranger, table, visible } from "./dom.js";
import { NONE, moment, number, percent } from "./format.js";

const WIDTH = 360,
  TOP = 12,
  BOTTOM = 34,
  RIGHT = 12;
const paint = (colour) => `var(--chart-${colour})`;
const px = (value) => Number(value.toFixed(1));
const textWidth = (text, size) => [...text].length * size * 0.56;
const short = (text, room, size) => visible(text, Math.max(3, Math.floor(room / (size * 0.56))));

const WRITERS = {
  number: (v) => number(v),
  percent: (v) => percent(v, Math.abs(v * 100 - Math.round(v * 100)) > 1e-6 ? 1 : 0),
  time: (v) => moment(v),
};

function niceTicks(low, high, wanted = 5) {
  const span = high - low || Math.abs(high) || 1;
  const rough = span / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((each) => each >= rough * 0.999);
  const ticks = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-6; tick += step)
    ticks.push(Number(tick.toPrecision(12)));
  return ticks;
}

// Ticks with as many decimals as tell them apart, the same for all.
function tickWriter(ticks) {
  const decimals = [0, 1, 2, 3, 4, 5].find((n) =>
    ticks.every((tick) => Math.abs(tick * 10 ** n - Math.round(tick * 10 ** n)) < 1e-6),
  );
  const most = Math.max(...ticks.map(Math.abs));
  if (decimals === undefined || most >= 1e6) return (v) => number(v);
  return (v) => v.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
}

// Texts along the bottom: one that would run into the one before is left out.
function bottomLabels(into, ticks, y) {
  let end = -Infinity;
  for (const [x, text] of ticks) {
    const half = textWidth(text, 10.5) / 2;
    const middle = Math.min(x, WIDTH - half - 2);
    if (middle - half < end + 6) continue;
    end = middle + half;
    into.append(label(middle, y, text, { "text-anchor": "middle" }));
  }
}

const MINUTE = 60e3,
  HOUR = 60 * MINUTE,
  DAY = 24 * HOUR;
const TIME_STEPS = [
  MINUTE,
  5 * MINUTE,
  10 * MINUTE,
  15 * MINUTE,
  30 * MINUTE,
  HOUR,
  3 * HOUR,
  6 * HOUR,
  12 * HOUR,
  DAY,
  2 * DAY,
  5 * DAY,
  7 * DAY,
];

function timeTicks(low, high) {
  const step = TIME_STEPS.find((each) => (high - low) / each <= 5) ?? 14 * DAY;
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high; tick += step) ticks.push(tick);
  const text = (tick) => {
    const iso = new Date(tick).toISOString();
    return step >= DAY ? iso.slice(5, 10) : iso.slice(11, 16);
  };
  return ticks.map((tick) => [tick, text(tick)]);
}

function frame(title, height, draw) {
  const svg = s("svg", {
    viewBox: `0 0 ${WIDTH} ${height}`,
    role: "img",
    "aria-label": visible(title, 200),
    "font-family": "system-ui, sans-serif",
  });
  draw(svg);
  return svg;
}

function chartFigure(title, description, svg, values, extra) {
  return h(
    "figure",
    null,
    h("h3", null, stranger(title)),
    svg ?? h("p", { class: "nothing" }, "No data yet."),
    h("figcaption", null, description),
    extra ?? null,
    svg && values ? h("details", null, h("summary", null, "The values"), values) : null,
  );
}

const label = (x, y, text, attributes = {}) =>
  s("text", { x: px(x), y: px(y), "font-size": 10.5, fill: paint("faint"), ...attributes }, text);

const rule = (x1, x2, y1, y2, colour = "faint") =>
  s("line", { x1: px(x1), x2: px(x2), y1: px(y1), y2: px(y2), stroke: paint(colour) });

function bar(x, y, width, height, colour, ...inside) {
  const [wide, high] = [px(Math.max(0.8, width)), px(Math.max(0, height))];
  const attributes = {
    x: px(x),
    y: px(y),
    width: wide,
    height: high,
    fill: paint(colour),
    "fill-opacity": 0.8,
  };
  return s("rect", attributes, ...inside);
}

const valueTable = (title, header, rows) => table(`${title}: values`, header, rows, { stacked: false });

// Where the entries of a legend stand: from the left, in as many lines as they need.
function placed(entries) {
  let x = 8,
    line = 0;
  return entries.map((entry) => {
    const wide = 21 + textWidth(visible(entry.name, 40), 10.5) + 12;
    if (x + wide > WIDTH && x > 8) {
      x = 8;
      line += 1;
    }
    x += wide;
    return { ...entry, x: x - wide, line };
  });
}

function legend(svg, entries, y) {
  for (const { name, colour, dashed, bar: isBar, x, line } of placed(entries)) {
    const at = y + 16 * line;
    svg.append(
      isBar
        ? bar(x, at - 8, 16, 9, colour)
        : s("line", {
            x1: x,
            x2: x + 16,
            y1: at - 3.5,
            y2: at - 3.5,
            stroke: paint(colour),
            "stroke-width": 2,
            "stroke-dasharray": dashed ? "4 3" : null,
          }),
      label(x + 21, at, visible(name, 40), { fill: paint("ink") }),
    );
  }
}

const barLegend = (svg, groups, y) =>
  legend(
    svg,
    groups.map((group) => ({ ...group, bar: true })),
    y,
  );

const legendLines = (entries) => (entries.length ? placed(entries).at(-1).line + 1 : 0);

// Lines over time or numbers. A line: {name, colour, points: [[x, y, low, high], ...], dashed, dots}.
export function lineChart(
  title,
  description,
  { x = "time", y = "number", lines, limits = [], from = null, to = null, marks = [], fromZero = false },
) {
  const drawn = lines.map((line) => ({
    ...line,
    points: line.points.filter(([, v]) => v !== null && v !== undefined && Number.isFinite(v)),
  }));
  const points = drawn.flatMap((line) => line.points);
  if (!points.length) return chartFigure(title, description, null);
  const xs = [...points.map(([at]) => at), ...[from, to].filter((each) => each !== null)];
  const ys = [
    ...points.flatMap(([, v, low, high]) => [v, low, high]),
    ...limits.map((limit) => limit.at),
  ].filter((v) => v !== null && v !== undefined && Number.isFinite(v));
  let [x0, x1] = [Math.min(...xs), Math.max(...xs)];
  if (x0 === x1) {
    x0 -= x === "time" ? HOUR : 1;
    x1 += x === "time" ? HOUR : 1;
  }
  let [y0, y1] = [fromZero ? Math.min(0, ...ys) : Math.min(...ys), Math.max(...ys)];
  if (y0 === y1) {
    y1 = y0 + (Math.abs(y0) || 1) * 0.1;
    if (!fromZero) y0 -= (Math.abs(y0) || 1) * 0.1;
  }
  const pad = (y1 - y0) * 0.06;
  y1 += pad;
  if (!fromZero && !(y === "percent" && y0 <= 0)) y0 -= pad;
  const yTicks = niceTicks(y0, y1);
  const write = WRITERS[y];
  const writeTick = y === "number" ? tickWriter(yTicks) : write;
  const left = Math.max(...yTicks.map((tick) => textWidth(writeTick(tick), 10.5))) + 12;
  const entries = [
    ...drawn.map(({ name, colour, dashed }) => ({ name, colour, dashed })),
    ...limits.map((limit) => ({ name: limit.label, colour: limit.colour ?? "limit", dashed: true })),
  ];
  const height = 220,
    base = height - BOTTOM;
  const toX = (v) => left + ((v - x0) / (x1 - x0)) * (WIDTH - RIGHT - left);
  const toY = (v) => base - ((v - y0) / (y1 - y0)) * (base - TOP);
  const svg = frame(title, height - 8 + 16 * legendLines(entries), (into) => {
    for (const tick of yTicks) {
      into.append(
        rule(left, WIDTH - RIGHT, toY(tick), toY(tick), "grid"),
        label(left - 5, toY(tick) + 3.5, writeTick(tick), { "text-anchor": "end" }),
      );
    }
    const xTicks =
      x === "time" ? timeTicks(x0, x1) : niceTicks(x0, x1, 4).map((tick) => [tick, WRITERS[x](tick)]);
    for (const [tick] of xTicks) into.append(rule(toX(tick), toX(tick), TOP, base, "grid"));
    bottomLabels(
      into,
      xTicks.map(([tick, text]) => [toX(tick), text]),
      base + 15,
    );
    into.append(rule(left, WIDTH - RIGHT, base, base));
    for (const mark of marks.filter(({ at }) => at >= x0 && at <= x1)) {
      into.append(
        s(
          "line",
          {
            x1: px(toX(mark.at)),
            x2: px(toX(mark.at)),
            y1: TOP,
            y2: base,
            stroke: paint("ink"),
            "stroke-dasharray": "1 3",
          },
          s("title", null, visible(mark.label, 200)),
        ),
      );
    }
    for (const line of drawn) drawLine(into, line, toX, toY, x, write);
    for (const limit of limits) {
      into.append(
        s("line", {
          x1: left,
          x2: WIDTH - RIGHT,
          y1: px(toY(limit.at)),
          y2: px(toY(limit.at)),
          stroke: paint(limit.colour ?? "limit"),
          "stroke-width": 1.4,
          "stroke-dasharray": "4 3",
        }),
      );
    }
    legend(into, entries, height + 2);
  });
  const rows = drawn.flatMap((line) =>
    thinned(line.points, 40).map(([at, v, low, high]) => [
      visible(line.name),
      WRITERS[x](at),
      write(v),
      low === undefined || low === null ? "" : `${write(low)} to ${write(high)}`,
    ]),
  );
  const withSpan = rows.some((row) => row[3]);
  return chartFigure(
    title,
    description,
    svg,
    valueTable(
      title,
      ["line", x === "time" ? "time" : "at", "value", ...(withSpan ? ["interval"] : [])],
      withSpan ? rows : rows.map((row) => row.slice(0, 3)),
    ),
  );
}

function thinned(points, most) {
  if (points.length <= most) return points;
  return Array.from({ length: most }, (_, i) => points[Math.round((i * (points.length - 1)) / (most - 1))]);
}

function drawLine(svg, line, toX, toY, x, write) {
  const colour = paint(line.colour);
  const spans = line.points.filter((point) => point[2] !== undefined && point[2] !== null);
  if (spans.length && line.dots) {
    for (const [at, , low, high] of spans)
      svg.append(
        s("line", {
          x1: px(toX(at)),
          x2: px(toX(at)),
          y1: px(toY(low)),
          y2: px(toY(high)),
          stroke: colour,
          "stroke-width": 1.4,
        }),
      );
  } else if (spans.length > 1) {
    const upper = spans.map(([at, , , high]) => `${px(toX(at))} ${px(toY(high))}`);
    const lower = spans.map(([at, , low]) => `${px(toX(at))} ${px(toY(low))}`).reverse();
    svg.append(s("path", { d: `M${[...upper, ...lower].join("L")}Z`, fill: colour, "fill-opacity": 0.18 }));
  }
  if (line.points.length > 1) {
    svg.append(
      s("path", {
        d: `M${line.points.map(([at, v]) => `${px(toX(at))} ${px(toY(v))}`).join("L")}`,
        fill: "none",
        stroke: colour,
        "stroke-width": line.dashed ? 1.3 : 2,
        "stroke-dasharray": line.dashed ? "4 3" : null,
        "stroke-linejoin": "round",
      }),
    );
  }
  if (line.dots || line.points.length < 2) {
    for (const [at, v] of line.points)
      svg.append(
        s(
          "circle",
          { cx: px(toX(at)), cy: px(toY(v)), r: 3.2, fill: colour },
          s("title", null, `${visible(line.name)}: ${WRITERS[x](at)}, ${write(v)}`),
        ),
      );
  }
}

// Groups of bars: names along the bottom or bins of numbers. A group: {name, colour, values}.
export function histogram(title, description, edges, groups) {
  if (!groups.some((group) => group.values.some((v) => v > 0))) return chartFigure(title, description, null);
  const most = Math.max(...groups.flatMap((group) => group.values));
  const yTicks = niceTicks(0, most * 1.05, 4);
  const height = 220,
    base = height - BOTTOM;
  const left = Math.max(...yTicks.map((tick) => textWidth(percent(tick, 0), 10.5))) + 12;
  const [x0, x1] = [edges[0], edges[edges.length - 1]];
  const toX = (v) => left + ((v - x0) / (x1 - x0)) * (WIDTH - RIGHT - left);
  const toY = (v) => base - (v / (most * 1.05)) * (base - TOP);
  const svg = frame(title, height - 8 + 16 * legendLines(groups), (into) => {
    for (const tick of yTicks) {
      into.append(
        rule(left, WIDTH - RIGHT, toY(tick), toY(tick), "grid"),
        label(left - 5, toY(tick) + 3.5, percent(tick, tick < 0.1 && tick > 0 ? 1 : 0), {
          "text-anchor": "end",
        }),
      );
    }
    bottomLabels(
      into,
      niceTicks(x0, x1, 4).map((tick) => [toX(tick), number(tick)]),
      base + 15,
    );
    groups.forEach((group, place) => {
      const wide = (toX(edges[1]) - toX(edges[0]) - 1.5) / groups.length;
      group.values.forEach((v, i) =>
        into.append(
          bar(
            toX(edges[i]) + 0.75 + place * wide,
            toY(v),
            wide,
            base - toY(v),
            group.colour,
            s("title", null, `${number(edges[i])} to ${number(edges[i + 1])}: ${percent(v)}`),
          ),
        ),
      );
    });
    into.append(rule(left, WIDTH - RIGHT, base, base));
    barLegend(into, groups, height + 2);
  });
  return chartFigure(
    title,
    description,
    svg,
    valueTable(
      title,
      ["from", "to", ...groups.map((group) => group.name)],
      edges
        .slice(0, -1)
        .map((edge, i) => [
          number(edge),
          number(edges[i + 1]),
          ...groups.map((group) => percent(group.values[i])),
        ]),
    ),
  );
}

// Named rows with bars from zero, side by side; values may be negative. `write` says a value.
export function barChart(
  title,
  description,
  names,
  groups,
  { write = (v) => percent(v), nameHeader = "value", nameRoom = 132 } = {},
) {
  if (!names.length) return chartFigure(title, description, null);
  const rowHeight = 14 * groups.length + 8;
  const height = names.length * rowHeight + 12;
  const shownNames = names.map((name) => short(name, nameRoom, 11.5));
  const left = Math.min(nameRoom + 28, Math.max(...shownNames.map((name) => textWidth(name, 12.4))) + 12);
  const values = groups.flatMap((group) => group.values);
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const room = 46;
  const toX = (v) =>
    left +
    (low < 0 ? room : 0) +
    ((v - low) / (high - low || 1)) * (WIDTH - left - room - (low < 0 ? room : 0));
  const svg = frame(title, height + (groups.length > 1 ? 4 + 16 * legendLines(groups) : 0), (into) => {
    names.forEach((name, row) => {
      const y = 6 + row * rowHeight;
      into.append(
        s(
          "text",
          {
            x: left - 7,
            y: y + rowHeight / 2,
            "font-size": 11,
            "text-anchor": "end",
            fill: paint("ink"),
            style: null,
            "unicode-bidi": "isolate",
          },
          s("title", null, visible(name, 300)),
          isolated(shownNames[row]),
        ),
      );
      groups.forEach((group, place) => {
        const v = group.values[row];
        const [a, b] = [toX(Math.min(0, v)), toX(Math.max(0, v))];
        const colour = group.colours?.[row] ?? group.colour;
        into.append(
          bar(a, y + place * 14, b - a, 11, colour),
          label(v < 0 ? a - 4 : b + 4, y + place * 14 + 9.5, write(v), {
            "text-anchor": v < 0 ? "end" : "start",
            fill: paint("ink"),
          }),
        );
      });
    });
    into.append(rule(toX(0), toX(0), 2, height - 4));
    if (groups.length > 1) barLegend(into, groups, height + 10);
  });
  return chartFigure(
    title,
    description,
    svg,
    valueTable(
      title,
      [nameHeader, ...groups.map((group) => group.name)],
      names.map((name, row) => [stranger(name), ...groups.map((group) => write(group.values[row]))]),
    ),
  );
}

const isolated = (text) => `\u2068${text}\u2069`;

// Points: {name, x, y, colour, filled}. Axes say what they are.
export function scatter(title, description, xLabel, yLabel, points, { xLog = false } = {}) {
  if (!points.length) return chartFigure(title, description, null);
  const scaleX = xLog ? Math.log10 : (v) => v;
  const xs = points.map((point) => scaleX(point.x)),
    ys = points.map((point) => point.y);
  const widen = (low, high) => {
    const pad = (high - low || Math.abs(high) || 1) * 0.08;
    return [low - pad, high + pad];
  };
  const [x0, x1] = widen(Math.min(...xs), Math.max(...xs)),
    [y0, y1] = widen(Math.min(...ys), Math.max(...ys));
  const height = 240,
    base = height - 44;
  const yTicks = niceTicks(y0, y1);
  const writeTick = tickWriter(yTicks);
  const left = Math.max(...yTicks.map((tick) => textWidth(writeTick(tick), 10.5))) + 28;
  const toX = (v) => left + ((scaleX(v) - x0) / (x1 - x0)) * (WIDTH - RIGHT - left);
  const toY = (v) => base - ((v - y0) / (y1 - y0)) * (base - TOP);
  const svg = frame(title, height, (into) => {
    for (const tick of yTicks)
      into.append(
        rule(left, WIDTH - RIGHT, toY(tick), toY(tick), "grid"),
        label(left - 5, toY(tick) + 3.5, writeTick(tick), { "text-anchor": "end" }),
      );
    const ticks = xLog
      ? [-3, -2, -1, 0, 1, 2, 3, 4, 5, 6]
          .flatMap((p) => [1, 2, 5].map((m) => m * 10 ** p))
          .filter((v) => scaleX(v) >= x0 && scaleX(v) <= x1)
      : niceTicks(x0, x1, 4);
    for (const tick of ticks) into.append(rule(toX(tick), toX(tick), TOP, base, "grid"));
    bottomLabels(
      into,
      ticks.map((tick) => [toX(tick), number(tick)]),
      base + 15,
    );
    into.append(
      rule(left, WIDTH - RIGHT, base, base),
      label((left + WIDTH - RIGHT) / 2, base + 32, xLabel, { "text-anchor": "middle", fill: paint("ink") }),
      label(12, (TOP + base) / 2, yLabel, {
        "text-anchor": "middle",
        fill: paint("ink"),
        transform: `rotate(-90 12 ${px((TOP + base) / 2)})`,
      }),
    );
    for (const point of points)
      into.append(
        s(
          "circle",
          {
            cx: px(toX(point.x)),
            cy: px(toY(point.y)),
            r: 4.5,
            fill: point.filled === false ? paint("paper") : paint(point.colour),
            stroke: paint(point.colour),
            "stroke-width": 1.6,
          },
          s("title", null, `${visible(point.name)}: ${number(point.x)}, ${number(point.y)}`),
        ),
      );
  });
  return chartFigure(
    title,
    description,
    svg,
    valueTable(
      title,
      ["what", xLabel, yLabel],
      points.map((point) => [stranger(point.name), number(point.x), number(point.y)]),
    ),
  );
}

export { chartFigure, paint, NONE };
