// Performance: what decisions are worth, estimated without outcomes and measured with them.

import { lineChart } from "./charts.js";
import { empty, figure, h, prose, stranger, table, tile } from "./dom.js";
import { NONE, bounded, duration, number, percent, plural, whole } from "./format.js";
import { rangeChoice, ranges } from "./range.js";

const KINDS = { recall: "recall", capacity: "positive in 1,000 rows", costs: "value of 1,000 rows" };
const NAMES = { precision: "Precision", recall: "Recall", roc_auc: "ROC-AUC" };
const state = { found: null, range: "month" };

export const performance = {
  name: "performance",
  title: "Performance",
  everySeconds: 30,
  forget() {
    state.found = null;
  },
  async load(ask) {
    state.found = await ask("monitoring/performance", {
      query: { hours: ranges[state.range].hours, periods: 120 },
    });
  },
  render(context) {
    const { found } = state;
    if (found === null) return [h("p", null, "Asking the service.")];
    return [
      verdict(found),
      tiles(found),
      h("h2", null, "Over time"),
      rangeChoice(state, context, ["day", "week", "month"]),
      h(
        "p",
        { class: "small" },
        "Estimated: what the scores of the latest rows let expect, without any outcome. Realized: of the latest predictions whose outcome is known. Bands are intervals; the dotted upright lines are changes of the champion.",
      ),
      h(
        "div",
        { class: "charts" },
        Object.keys(NAMES).map((name) => overTime(found, name)),
        reliability(found),
        coverage(found),
      ),
      weeks(found),
      leftOut(found),
    ];
  },
};

function verdict(found) {
  const { promise } = found;
  const bad = [
    found.estimated_degradation && `Estimated: ${found.estimated_degradation}`,
    found.realized_degradation && `Realized: ${found.realized_degradation}`,
  ].filter(Boolean);
  if (promise.verdict === "refuted") bad.unshift(promise.reason);
  if (bad.length)
    return h(
      "div",
      { class: "verdict bad" },
      bad.map((words) => h("p", null, prose(words, 600), ".")),
    );
  if (promise.verdict === "supported")
    return h(
      "p",
      { class: "verdict good" },
      "Outcomes bear out the promise: ",
      prose(promise.reason, 600),
      ".",
    );
  return h(
    "p",
    { class: "verdict" },
    found.labelled_rows
      ? [prose(promise.reason || "The outcomes so far do not tell whether the promise holds", 600), "."]
      : [
          "No outcome was handed in yet: what is shown is estimated. ",
          h("code", null, "POST /feedback"),
          " and ",
          h("code", null, "tabloop feedback import"),
          " take outcomes.",
        ],
  );
}

function tiles(found) {
  const { promise, figures } = found;
  const shown = (name) => {
    const { realized, estimated, at_release: before } = figures[name];
    const best = realized ?? estimated;
    return tile(
      NAMES[name],
      best ? best.value.toFixed(3) : NONE,
      `${realized ? "realized" : estimated ? "estimated" : "not known"}; ${before ? before.value.toFixed(3) : NONE} at release`,
    );
  };
  return h(
    "ul",
    { class: "tiles" },
    Object.keys(NAMES).map(shown),
    tile(
      "The promise under test",
      promise.verdict,
      promise.objective !== "precision"
        ? `${KINDS[promise.objective]}: ${number(promise.promised)} promised, ${promise.observed === null ? "none" : number(promise.observed)} seen; bounds ${number(promise.lower_bound)} and ${number(promise.upper_bound)}`
        : promise.precision === null
          ? `a precision of ${number(promise.target_precision)} was promised`
          : `${whole(promise.true_positive_rows)} of ${whole(promise.predicted_positive_rows)} right; bounds ${promise.lower_bound.toFixed(3)} and ${promise.upper_bound.toFixed(3)}`,
      promise.verdict === "refuted" ? "bad" : null,
    ),
    tile(
      "Outcomes known",
      percent(found.coverage),
      `${whole(found.labelled_rows)} of the latest predictions`,
    ),
    tile(
      "Delay of outcomes",
      duration(found.label_delay_p50_s),
      found.label_delay_p90_s === null
        ? "no outcome is known"
        : `the slowest tenth takes ${duration(found.label_delay_p90_s)} or more`,
    ),
  );
}

function swapsOf(points) {
  return points
    .filter((point, place) => place > 0 && points[place - 1].run_id !== point.run_id)
    .map((point) => ({ at: Date.parse(point.time), label: `run ${point.run_id}` }));
}

function overTime(found, name) {
  const of = (side) =>
    found.history
      .filter((point) => point[side]?.[name])
      .map((point) => [
        Date.parse(point.time),
        point[side][name].value,
        point[side][name].low,
        point[side][name].high,
      ]);
  const limits = [];
  const promised = found.promise.promised ?? found.promise.target_precision;
  if (name === found.promise.objective && promised !== null) limits.push({ at: promised, label: "promised" });
  if (found.figures[name].at_release)
    limits.push({ at: found.figures[name].at_release.value, label: "at release", colour: "reference" });
  const lines = [
    { name: "estimated", colour: "series-6", points: of("estimated") },
    { name: "realized", colour: "model", points: of("realized"), dots: of("realized").length < 40 },
  ];
  return lineChart(NAMES[name], `With ${percent(found.confidence, 0)} intervals.`, {
    lines,
    limits: lines.some((line) => line.points.length) ? limits : [],
    marks: swapsOf(found.history),
  });
}

function reliability(found) {
  const points = found.reliability.map((bin) => [
    bin.mean_probability,
    bin.observed.value,
    bin.observed.low,
    bin.observed.high,
  ]);
  return lineChart(
    "Reliability of what happened",
    "Labelled predictions in groups of neighbouring probabilities: how many of each came true, with 95% intervals. On the dashed line a probability means what it says.",
    {
      x: "number",
      y: "percent",
      from: 0,
      to: 1,
      fromZero: true,
      lines: points.length
        ? [
            {
              name: "as it says",
              colour: "reference",
              dashed: true,
              points: [
                [0, 0],
                [1, 1],
              ],
            },
            { name: "what happened", colour: "model", dots: true, points },
          ]
        : [],
    },
  );
}

function coverage(found) {
  return lineChart(
    "Outcomes known",
    "The share of predictions whose outcome was known, of those that the realized figures are about. Figures on few outcomes are bent where one class is known sooner.",
    {
      y: "percent",
      fromZero: true,
      lines: [
        {
          name: "coverage",
          colour: "series-3",
          points: found.history
            .filter((point) => point.coverage !== null && point.coverage !== undefined)
            .map((point) => [Date.parse(point.time), point.coverage]),
        },
      ],
    },
  );
}

function weeks(found) {
  const heading = h("h2", null, "By week of prediction");
  if (!found.weeks.length) return [heading, empty("No week has passed in which anything was predicted.")];
  return [
    heading,
    table(
      "What became of the predictions of each week",
      ["week", "run", "predictions", "with outcome", "precision", "recall", "complete"],
      [...found.weeks]
        .reverse()
        .slice(0, 20)
        .map((week) => [
          week.week,
          stranger(week.run_id),
          figure(week.rows === null ? "log is gone" : whole(week.rows)),
          figure(whole(week.labelled_rows)),
          figure(bounded(week.precision)),
          figure(bounded(week.recall)),
          week.matured ? "yes" : "not yet",
        ]),
    ),
    found.weeks.length > 20
      ? h("p", { class: "small" }, `${plural(found.weeks.length - 20, "earlier line")} left out.`)
      : null,
  ];
}

function leftOut(found) {
  const names = Object.entries(found.left_out);
  if (!names.length) return null;
  return [
    h("h2", null, "What could not be measured"),
    h(
      "ul",
      { class: "points" },
      names.map(([name, why]) =>
        h("li", null, h("strong", null, name.replace("_", "-")), ": ", prose(why, 300)),
      ),
    ),
  ];
}
