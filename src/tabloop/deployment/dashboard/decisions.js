// Decisions: search the prediction log; one decision with its reasons and its outcome.

import { barChart } from "./charts.js";
import { closing, empty, figure, h, prose, stranger, table, visible, wayBack } from "./dom.js";
import { moment, number, plural } from "./format.js";

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const blank = { id: "", since: "", until: "", label: "", min: "", max: "" };
const state = {
  wanted: { ...blank },
  found: null,
  lines: [],
  chosen: null,
  detail: null,
  problem: null,
  back: null,
};

export const decisions = {
  name: "decisions",
  title: "Decisions",
  everySeconds: 3600,
  forget() {
    Object.assign(state, {
      wanted: { ...blank },
      found: null,
      lines: [],
      chosen: null,
      detail: null,
      problem: null,
    });
  },
  close(context) {
    if (state.chosen === null) return;
    Object.assign(state, { chosen: null, detail: null });
    context.redraw();
    state.back?.();
  },
  async load(ask) {
    state.ask = ask;
    if (state.found === null) await search(ask);
  },
  render(context) {
    return [
      form(context),
      state.problem === null ? null : h("p", { class: "verdict bad", role: "alert" }, state.problem),
      detail(context),
      list(context),
    ];
  },
};

const asUtc = (text) => (text ? `${text}${text.length === 16 ? ":00" : ""}Z` : null);

async function search(ask, before = null) {
  const { wanted } = state;
  const found = await ask("predictions", {
    query: {
      since: asUtc(wanted.since),
      until: asUtc(wanted.until),
      label: wanted.label,
      min_probability: wanted.min,
      max_probability: wanted.max,
      limit: 25,
      before,
    },
  });
  state.lines = before === null ? found.predictions : [...state.lines, ...found.predictions];
  state.found = found;
}

async function guarded(context, act) {
  state.problem = null;
  try {
    await act();
  } catch (error) {
    if (error.name === "AbortError") return;
    state.problem = error.message;
  }
  context.redraw();
}

async function choose(context, id) {
  state.back = wayBack();
  state.chosen = id;
  state.detail = null;
  context.redraw();
  await guarded(context, async () => {
    state.detail = await state.ask(`predictions/${encodeURIComponent(id)}`);
  });
  if (state.detail === null) state.chosen = null;
  context.redraw();
  document.getElementById("decision")?.focus();
}

function form(context) {
  const { wanted } = state;
  const submit = (event) => {
    event.preventDefault();
    const given = new FormData(event.target);
    for (const name of Object.keys(blank)) wanted[name] = String(given.get(name) ?? "").trim();
    if (wanted.id) {
      if (!UUID.test(wanted.id)) {
        state.problem = "An id is a prediction_id as the service answered it, 36 characters.";
        context.redraw();
        return;
      }
      choose(context, wanted.id.toLowerCase());
      return;
    }
    state.chosen = null;
    state.found = null;
    guarded(context, () => search(state.ask)).then(() =>
      context.announce(`${state.lines.length} decisions found`),
    );
  };
  const field = (name, label, attributes) =>
    h(
      "div",
      { class: "field" },
      h("label", { for: `d-${name}` }, label),
      h("input", { id: `d-${name}`, name, value: wanted[name], ...attributes }),
    );
  return h(
    "form",
    { class: "fields", submit, "aria-label": "Search" },
    field("id", "Prediction id", { type: "text", spellcheck: "false", autocomplete: "off", size: 36 }),
    field("since", "From (UTC)", { type: "datetime-local" }),
    field("until", "Until (UTC)", { type: "datetime-local" }),
    h(
      "div",
      { class: "field" },
      h("label", { for: "d-label" }, "Decision"),
      h(
        "select",
        { id: "d-label", name: "label" },
        [
          ["", "any"],
          ["1", "1"],
          ["0", "0"],
        ].map(([value, text]) => h("option", { value, selected: wanted.label === value }, text)),
      ),
    ),
    field("min", "Probability from", { type: "number", min: 0, max: 1, step: "any" }),
    field("max", "Probability to", { type: "number", min: 0, max: 1, step: "any" }),
    h("button", { type: "submit" }, "Search"),
  );
}

function outcomeWords(outcome) {
  return outcome === null ? "not known" : String(outcome);
}

function list(context) {
  if (state.found === null) return h("p", null, state.problem === null ? "Asking the service." : "");
  const { lines, found } = state;
  const more =
    found.next_before === null
      ? null
      : h(
          "p",
          null,
          h(
            "button",
            { type: "button", click: () => guarded(context, () => search(state.ask, found.next_before)) },
            "Search further back",
          ),
          found.predictions.length < 25
            ? ` So far ${plural(found.looked_at_rows, "row")} were looked at in this step.`
            : "",
        );
  if (!lines.length)
    return [
      empty(
        found.next_before === null
          ? "The prediction log holds no such decision."
          : "None among the latest rows.",
      ),
      more,
    ];
  return [
    h("h2", null, "Found"),
    table(
      "Decisions, the latest first",
      ["id", "time", "probability", "decision", "from threshold", "outcome", "run"],
      lines.map((line) => ({
        key: line.prediction_id,
        cells: [
          h(
            "button",
            {
              type: "button",
              class: "link",
              "data-open": line.prediction_id,
              "aria-pressed": String(state.chosen === line.prediction_id),
              click: () => choose(context, line.prediction_id),
            },
            line.prediction_id,
          ),
          figure(moment(line.time, true)),
          figure(line.probability.toFixed(4)),
          figure(String(line.label)),
          figure(signed(line.probability - line.threshold)),
          outcomeWords(line.outcome),
          stranger(line.run_id),
        ],
      })),
    ),
    more,
  ];
}

const signed = (value) => `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(4)}`;

function detail(context) {
  if (state.chosen === null) return null;
  const heading = h(
    "h2",
    { id: "decision", tabindex: "-1", "data-key": state.chosen },
    "Decision ",
    h("span", { class: "id" }, state.chosen),
  );
  const one = state.detail;
  if (one === null) return [heading, h("p", null, "Asking the service.")];
  const right = one.outcome === null ? null : one.outcome === one.label;
  return [
    heading,
    h(
      "div",
      { class: "summary" },
      h(
        "div",
        null,
        h(
          "dl",
          null,
          [
            ["Time", moment(one.time, true)],
            ["Run", stranger(one.run_id)],
            ["Probability", one.probability.toFixed(6)],
            ["Threshold", one.threshold.toFixed(6)],
            ["Nearness", nearness(one)],
            ["Decision", String(one.label)],
            [
              "Outcome",
              one.outcome === null
                ? "not known yet"
                : `${one.outcome}, known ${moment(one.outcome_time)}: the decision was ${right ? "right" : "wrong"}`,
            ],
            one.event_id === null ? null : ["Event", stranger(one.event_id)],
          ]
            .filter(Boolean)
            .map(([name, value]) => [h("dt", null, name), h("dd", null, value)]),
        ),
        h("h3", null, "Features"),
        table(
          "Features of the decision",
          ["column", "value"],
          Object.entries(one.features).map(([name, value]) => [stranger(name), valueOf(value)]),
          { stacked: false },
        ),
      ),
      h("div", null, reasons(one)),
    ),
    closing(() => decisions.close(context)),
  ];
}

export const valueOf = (value) =>
  value === null
    ? h("em", null, "missing")
    : typeof value === "number"
      ? number(value, 6)
      : stranger(String(value), 200);

function nearness(one) {
  const distance = Math.abs(one.probability - one.threshold);
  const side = one.probability >= one.threshold ? "above" : "below";
  return `${distance.toFixed(6)} ${side} the threshold${distance < 0.02 ? ": a close call" : ""}`;
}

export function contributionChart(explanation, features) {
  const entries = Object.entries(explanation.contributions)
    .sort(([, a], [, b]) => Math.abs(b) - Math.abs(a))
    .slice(0, 15);
  const names = entries.map(([name]) =>
    name in features
      ? `${visible(name, 24)} = ${typeof features[name] === "number" ? number(features[name], 4) : visible(features[name] ?? "missing", 14)}`
      : name,
  );
  const values = entries.map(([, value]) => value);
  return barChart(
    "Why",
    `What each column contributed to the answer, in ${explanation.unit === "probability" ? "probability" : visible(explanation.unit).replaceAll("_", " ")}: to the right it spoke for the positive class. Base and contributions add up to what the model gave.`,
    names,
    [
      {
        name: "contribution",
        colour: "positive",
        colours: values.map((v) => (v >= 0 ? "positive" : "negative")),
        values,
      },
    ],
    { write: (v) => number(v), nameHeader: "column", nameRoom: 180 },
  );
}

function reasons(one) {
  if (one.explanation === null)
    return [
      h("h3", null, "Why"),
      h("p", null, "There is no explanation: ", prose(one.unexplained, 400), "."),
    ];
  return [
    contributionChart(one.explanation, one.features),
    h(
      "p",
      { class: "small" },
      `Base ${number(one.explanation.base)}: the mean over the training rows it is compared with.`,
      one.explanation.standard_error
        ? ` The least certain contribution has a standard error of ${number(one.explanation.standard_error)}.`
        : "",
    ),
  ];
}
