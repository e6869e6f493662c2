// Try it: a form made from the contract, the answer, and how the probability moves when one field is turned.

import { lineChart, barChart } from "./charts.js";
import { empty, h, prose, stranger, visible } from "./dom.js";
import { number, percent } from "./format.js";
import { contributionChart } from "./decisions.js";

const STEPS = 31;
const state = {
  model: null,
  schema: null,
  record: null,
  answer: null,
  explanation: null,
  problems: [],
  turned: null,
  sweep: null,
  busy: false,
  ask: null,
};

export const tryIt = {
  name: "try-it",
  title: "Try it",
  everySeconds: 3600,
  forget() {
    Object.assign(state, {
      model: null,
      schema: null,
      record: null,
      answer: null,
      explanation: null,
      problems: [],
      turned: null,
      sweep: null,
    });
  },
  async load(ask) {
    state.ask = ask;
    if (state.model !== null) return;
    const [model, document] = await Promise.all([ask("model"), ask("openapi.json")]);
    state.schema = document.components.schemas.Record;
    state.names = Object.keys(document.components.schemas.Prediction.properties);
    state.record = { ...(state.schema.examples?.[0] ?? {}) };
    state.model = model;
  },
  render(context) {
    if (state.model === null) return [h("p", null, "Asking the service.")];
    const note = context.may("predict")
      ? null
      : h(
          "p",
          { class: "verdict" },
          "This key sees, but may not ask for decisions: that takes the role predict.",
        );
    return [
      h(
        "p",
        null,
        "A decision that you ask for here is a decision like any other: it stands in the prediction log and counts in the figures.",
      ),
      note,
      h(
        "div",
        { class: "summary" },
        form(context),
        h("div", null, h("h2", { class: "part" }, "Answer"), answer()),
      ),
      turn(context),
    ];
  },
};

function kindOf(schema) {
  const kinds = Array.isArray(schema.type)
    ? schema.type
    : [schema.type ?? schema.anyOf?.find((each) => each.type !== "null")?.type];
  return {
    kind: kinds.find((each) => each && each !== "null") ?? "string",
    nullable: kinds.includes("null") || schema.anyOf?.some((each) => each.type === "null"),
  };
}

const fieldsOf = () =>
  Object.entries(state.schema.properties).filter(([, schema]) => schema.description !== "Ignored.");

function form(context) {
  const submit = async (event) => {
    event.preventDefault();
    state.record = recordOf(event.target);
    await decide(context);
  };
  return h(
    "form",
    { submit, "aria-label": "Record", novalidate: true },
    h(
      "div",
      { class: "grid" },
      fieldsOf().map(([name, schema], place) => field(name, schema, `t-${place}`)),
    ),
    state.problems.length
      ? h(
          "ul",
          { class: "verdict bad points", role: "alert" },
          state.problems.map((each) =>
            h("li", null, each.field ? [stranger(each.field), ": "] : null, prose(each.words, 300)),
          ),
        )
      : null,
    h("p", null, h("button", { type: "submit", disabled: state.busy }, "Decide")),
  );
}

function field(name, schema, id) {
  const { kind, nullable } = kindOf(schema);
  const value = state.record[name];
  const options = schema.enum?.filter((each) => each !== null);
  const input =
    kind === "boolean" || options
      ? h(
          "select",
          { id, name, "data-value": value === undefined || value === null ? "" : String(value) },
          nullable ? h("option", { value: "" }, "missing") : null,
          (options ?? [true, false]).map((each) =>
            h("option", { value: String(each), selected: each === value }, visible(each, 60)),
          ),
        )
      : h("input", {
          id,
          name,
          type: kind === "integer" || kind === "number" ? "number" : "text",
          step: kind === "integer" ? 1 : "any",
          min: schema.minimum,
          max: schema.maximum,
          value: value ?? "",
          autocomplete: "off",
          placeholder: nullable ? "missing" : null,
        });
  return h("div", { class: "field" }, h("label", { for: id }, stranger(name, 40)), input);
}

function recordOf(element) {
  const record = {};
  fieldsOf().forEach(([name, schema], place) => {
    const text = element.querySelector(`#t-${place}`).value;
    const { kind, nullable } = kindOf(schema);
    if (text === "" && (nullable || kind !== "string")) {
      if (nullable) record[name] = null;
      return;
    }
    record[name] =
      kind === "integer" || kind === "number" ? Number(text) : kind === "boolean" ? text === "true" : text;
  });
  return record;
}

async function decide(context) {
  Object.assign(state, { busy: true, problems: [], answer: null, explanation: null, sweep: null });
  context.redraw();
  try {
    state.answer = await state.ask("predict", { body: state.record });
    try {
      state.explanation = await state.ask("explain", { body: state.record });
    } catch {
      /* earlier runs kept nothing to explain with */
    }
    context.announce(`probability ${state.answer[state.names[0]]}`);
  } catch (error) {
    if (error.name !== "AbortError") noteProblems(error);
  }
  state.busy = false;
  context.redraw();
  if (state.answer !== null && state.turned !== null) await sweep(context);
}

function noteProblems(error) {
  const errors = error.problem?.errors;
  state.problems = errors?.length
    ? errors.map((each) => ({
        field: each.field,
        words:
          each.code === "missing" ? `is missing, expected ${each.expected}` : `expected ${each.expected}`,
      }))
    : [{ field: "", words: error.message }];
}

function answer() {
  if (state.answer === null) return empty(state.busy ? "Asking the service…" : "Fill the form and decide.");
  const probability = state.answer[state.names[0]],
    decision = state.answer[state.names[1]];
  const { decision_threshold: threshold } = state.model;
  return [
    h(
      "p",
      { class: "answer", "aria-live": "polite" },
      h("strong", null, percent(probability, 2)),
      ` ${state.names[1].replaceAll("_", " ")}: ${decision}`,
    ),
    h(
      "p",
      { class: "small" },
      `The threshold is ${number(threshold, 4)}; this is ${Math.abs(probability - threshold).toFixed(4)} ${probability >= threshold ? "above" : "below"} it. Run `,
      stranger(state.answer.run_id),
      ", prediction ",
      h("span", { class: "id" }, state.answer.prediction_id),
      ".",
    ),
    state.explanation === null ? null : contributionChart(state.explanation, state.record),
  ];
}

function turn(context) {
  if (state.answer === null) return null;
  const choose = (event) => {
    state.turned = event.target.value || null;
    state.sweep = null;
    context.redraw();
    if (state.turned !== null) sweep(context);
  };
  return [
    h("h2", null, "Turn one field"),
    h(
      "div",
      { class: "fields" },
      h(
        "div",
        { class: "field" },
        h("label", { for: "turned" }, "Field"),
        h(
          "select",
          { id: "turned", change: choose, "data-value": state.turned ?? "" },
          h("option", { value: "" }, "choose one"),
          fieldsOf().map(([name]) =>
            h("option", { value: name, selected: name === state.turned }, visible(name, 60)),
          ),
        ),
      ),
    ),
    curve(),
  ];
}

// The values that are asked about: over the range of the contract, held to a decade around the present value.
function valuesOf(name) {
  const schema = state.schema.properties[name];
  const { kind } = kindOf(schema);
  const value = state.record[name];
  if (kind === "boolean") return [true, false];
  if (kind === "string")
    return [
      ...new Set(
        [value, ...(schema.enum ?? []), ...(state.model.contract.columns?.[name]?.values ?? [])].filter(
          (each) => typeof each === "string",
        ),
      ),
    ].slice(0, 20);
  const size = Math.max(Math.abs(Number(value ?? 0)) * 2, 10);
  const low = Math.max(schema.minimum ?? -size, Number(value ?? 0) - size),
    high = Math.min(schema.maximum ?? size, Number(value ?? 0) + size);
  const values = Array.from({ length: STEPS }, (_, i) => low + (i * (high - low)) / (STEPS - 1));
  return [...new Set(kind === "integer" ? values.map(Math.round) : values)];
}

async function sweep(context) {
  const name = state.turned;
  const values = valuesOf(name);
  if (!values.length) return;
  try {
    const answers = await asked(values.map((value) => ({ ...state.record, [name]: value })));
    state.sweep = {
      name,
      points: values.map((value, place) => [value, answers[place]]).filter(([, each]) => each !== null),
    };
    state.problems = [];
  } catch (error) {
    if (error.name === "AbortError") return;
    noteProblems(error);
  }
  context.redraw();
}

// One request; where rules between columns refuse some of its records, one more without these.
async function asked(records) {
  const probabilities = (found) => found.predictions.map((each) => each[state.names[0]]);
  try {
    return probabilities(await state.ask("batch_predict", { body: { records } }));
  } catch (error) {
    const refused = new Set((error.problem?.errors ?? []).map((each) => each.row));
    const kept = records.filter((_, place) => !refused.has(place));
    if (!refused.size || !kept.length) throw error;
    const found = probabilities(await state.ask("batch_predict", { body: { records: kept } }));
    return records.map((_, place) => (refused.has(place) ? null : found.shift()));
  }
}

function curve() {
  if (state.turned === null) return null;
  if (state.sweep === null) return h("p", null, state.problems.length ? "" : "Asking about its values…");
  const { name, points } = state.sweep;
  const title = `Probability over ${visible(name, 40)}`;
  const said =
    "All other fields stay as they are in the form. Values that break a rule of the contract are left out.";
  if (!points.length) return empty("No value of this field goes with the other fields.");
  return h(
    "div",
    { class: "charts" },
    typeof points[0][0] === "number"
      ? lineChart(title, said, {
          x: "number",
          y: "percent",
          fromZero: true,
          lines: [{ name: "probability", colour: "model", points, dots: points.length < 12 }],
          limits: [{ at: state.model.decision_threshold, label: "threshold" }],
          marks: [{ at: Number(state.record[name]), label: "as in the form" }],
        })
      : barChart(
          title,
          said,
          points.map(([value]) => String(value)),
          [{ name: "probability", colour: "model", values: points.map(([, each]) => each) }],
        ),
  );
}
