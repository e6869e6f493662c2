// Drift: every feature against its limit, window after window; one feature beside the training rows.

import { barChart, histogram, lineChart } from "./charts.js";
import { closing, empty, figure, h, prose, stranger, table, visible, wayBack } from "./dom.js";
import { moment, number, pValue, percent, plural, whole } from "./format.js";
import { rangeChoice, ranges } from "./range.js";

const FEW = 15;
const FIRST = 8;
const state = {
  windows: null,
  drift: null,
  chosen: null,
  period: null,
  feature: null,
  all: false,
  range: "month",
  back: null,
};

export const drift = {
  name: "drift",
  title: "Drift",
  everySeconds: 30,
  forget() {
    Object.assign(state, { windows: null, drift: null, feature: null, chosen: null, period: null });
  },
  close(context) {
    if (state.chosen === null) return;
    Object.assign(state, { chosen: null, feature: null });
    context.redraw();
    state.back?.();
  },
  async load(ask) {
    const query = { hours: ranges[state.range].hours, periods: window.innerWidth < 600 ? 14 : 48 };
    const [windows, found, feature] = await Promise.all([
      ask("monitoring/windows", { query }),
      ask("monitoring/drift"),
      state.chosen === null ? null : ask("monitoring/feature", { query: { name: state.chosen } }),
    ]);
    Object.assign(state, { windows, drift: found, feature });
  },
  render(context) {
    if (state.windows === null) return [h("p", null, "Asking the service.")];
    return [
      verdict(state.drift),
      rule(state.drift),
      h("h2", null, "When it began"),
      rangeChoice(state, context, ["day", "week", "month"]),
      heat(context),
      detail(context),
      segments(context),
      notMonitored(state.drift),
    ];
  },
};

const sentence = (text) => `${visible(text.charAt(0).toUpperCase() + text.slice(1), 400)}.`;

function verdict(found) {
  const ofAll = [...found.alarms].sort((a, b) => (a.segment !== null) - (b.segment !== null));
  const moved = [...new Set(ofAll.map((test) => test.words))];
  if (!moved.length && !found.should_retrain)
    return h(
      "p",
      { class: `verdict ${found.enough_samples ? "good" : ""}` },
      sentence(found.reason),
      " ",
      found.windowed.latest ? "The latest window raised no alarm." : "No window is complete yet.",
    );
  return h(
    "div",
    { class: "verdict bad" },
    h(
      "p",
      null,
      moved.length ? `${plural(moved.length, "thing")} moved in the latest windows. ` : "",
      sentence(found.reason),
    ),
    moved.length
      ? h(
          "ul",
          { class: "points" },
          moved.slice(0, 5).map((words) => h("li", null, h("bdi", null, prose(words, 300)))),
        )
      : null,
    moved.length > 5 ? h("p", null, `And ${moved.length - 5} more, below.`) : null,
    h("p", null, "Next: ", prose(found.recommended_action), "."),
  );
}

function rule(found) {
  return h(
    "p",
    { class: "small" },
    found.samples_observed === 0
      ? ""
      : `The z-score rule looks at the latest ${whole(found.samples_observed)} rows: its largest z-score is ${number(found.drift_score_max_abs_z)}, and ${percent(found.predicted_positive_rate)} of the decisions are positive, ${percent(found.training_positive_rate)} in training. `,
    `The tests below look at windows of ${whole(found.windowed.test_window_rows)} rows; the next is complete after ${plural(found.windowed.rows_until_next, "more row")}.`,
  );
}

const levelOf = (peak) => {
  if (!peak) return "none";
  if (peak.alarmed_windows) return "alarm";
  const part = partOf(peak);
  return part >= 0.8 ? "3" : part >= 0.5 ? "2" : part >= 0.25 ? "1" : "0";
};

const LEVEL_WORDS = {
  none: "not tested",
  0: "below a quarter of its limit",
  1: "up to half of its limit",
  2: "up to 80% of its limit",
  3: "near or beyond its limit, no alarm",
  alarm: "alarm",
};

function choose(context, name, period) {
  state.back = wayBack();
  Object.assign(state, { chosen: name, period, feature: null });
  context.redraw();
  context.reload().then(() => document.getElementById("feature")?.focus());
}

// A table of cells: a line for each name, a column for each stretch of time. `peakOf` gives what a cell tells,
// `featureOf` the feature that a line or a cell leads to.
function heatTable(context, { caption, header, names, periods, peakOf, featureOf }) {
  const few = periods.length <= 5;
  const every = few ? 1 : Math.max(3, Math.ceil(periods.length / 6));
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      { class: few ? "heat few" : "heat" },
      h("caption", { class: "hidden" }, caption),
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          h("th", { scope: "col" }, header),
          h("th", { scope: "col" }, "alarms"),
          periods.map((period, place) =>
            h(
              "th",
              { scope: "col", class: "when" },
              h("span", { class: "hidden" }, moment(period.end)),
              place % every === 0
                ? h("span", { "aria-hidden": "true" }, moment(period.end).slice(5, 10))
                : null,
            ),
          ),
        ),
      ),
      h(
        "tbody",
        null,
        names.map((name) => {
          const peaks = periods.map((period) => peakOf(period, name));
          const alarmed = peaks.reduce((sum, peak) => sum + (peak?.alarmed_windows ?? 0), 0);
          const clearest = peaks.reduce((best, peak) => (isClearer(peak, best) ? peak : best), null);
          const feature = featureOf(name, clearest);
          return h(
            "tr",
            { "data-key": name, class: name === state.chosen ? "chosen" : null },
            h(
              "th",
              { scope: "row" },
              h(
                "button",
                {
                  type: "button",
                  class: "link",
                  "data-open": `${header} ${name}`,
                  "aria-pressed": String(state.chosen === feature),
                  click: () => choose(context, feature, null),
                },
                stranger(name, 40),
              ),
            ),
            h("td", { class: "figure" }, alarmed ? whole(alarmed) : ""),
            peaks.map((peak, place) =>
              h(
                "td",
                {
                  class: "cell",
                  "data-level": levelOf(peak),
                  title: `${visible(name, 60)}, ${moment(periods[place].end)}: ${peakWords(peak)}`,
                  click: () => choose(context, featureOf(name, peak ?? clearest), place),
                },
                h("span", { class: "hidden" }, LEVEL_WORDS[levelOf(peak)]),
              ),
            ),
          );
        }),
      ),
    ),
  );
}

const partOf = (peak) => (peak.limit > 0 ? peak.effect / peak.limit : 0);
const isClearer = (peak, best) =>
  Boolean(peak) &&
  (best === null ||
    (peak.alarmed_windows > 0) - (best.alarmed_windows > 0) > 0 ||
    (peak.alarmed_windows > 0 === best.alarmed_windows > 0 && partOf(peak) > partOf(best)));

const levels = () =>
  h(
    "ul",
    { class: "levels" },
    ["0", "1", "2", "3", "alarm", "none"].map((level) =>
      h(
        "li",
        null,
        h("span", { class: "cell", "data-level": level, "aria-hidden": "true" }),
        LEVEL_WORDS[level],
      ),
    ),
  );

function heat(context) {
  const { periods: all, features } = state.windows;
  const periods = all.filter((period) => period.windows > 0);
  if (!periods.length || !features.length)
    return empty("No window of rows was complete in this time: the tests say nothing yet.");
  const shown = state.all ? features : features.slice(0, FEW);
  return [
    h(
      "p",
      { class: "small" },
      "Each line is a feature and each column a stretch of time; the fuller a cell, the nearer the distance from the training rows was to its limit. Choose a feature to see it beside the training rows.",
    ),
    heatTable(context, {
      caption: "Distance of every feature from the training rows, against its limit, over time",
      header: "feature",
      names: shown,
      periods,
      peakOf: (period, name) => period.features?.[name],
      featureOf: (name) => name,
    }),
    levels(),
    features.length > FEW
      ? h(
          "p",
          null,
          h(
            "button",
            {
              type: "button",
              click: () => {
                state.all = !state.all;
                context.redraw();
              },
            },
            state.all ? `Show the clearest ${FEW}` : `Show all ${features.length} features`,
          ),
        )
      : null,
    state.windows.features_left_out
      ? h(
          "p",
          { class: "small" },
          `${plural(state.windows.features_left_out, "further feature")} moved less and is left out.`,
        )
      : null,
  ];
}

const peakWords = (peak) =>
  peak
    ? `${peak.feature ? `${visible(peak.feature, 60)}, ` : ""}effect ${number(peak.effect)} of a limit of ${number(peak.limit)}, p ${pValue(peak.p_value)}${peak.alarmed_windows ? `, alarmed in ${plural(peak.alarmed_windows, "window")}` : ""}`
    : "not tested";

function detail(context) {
  if (state.chosen === null) return null;
  const heading = h(
    "h2",
    { id: "feature", tabindex: "-1", "data-key": `feature ${state.chosen}` },
    stranger(state.chosen),
  );
  const { feature } = state;
  if (feature === null || feature.feature !== state.chosen)
    return [heading, h("p", null, "Asking the service.")];
  const close = closing(() => drift.close(context));
  if (!feature.monitored)
    return [
      heading,
      h("p", null, "It is not monitored: the prediction log leaves it out or holds only hashes of it."),
      close,
    ];
  return [
    heading,
    h(
      "p",
      null,
      `The latest ${whole(feature.rows)} rows beside the training rows. `,
      feature.mean === null
        ? ""
        : `Mean ${number(feature.mean)}, ${number(feature.training_mean)} in training (standard deviation ${number(feature.training_std)}); z-score ${number(feature.zscore)}.`,
    ),
    h("div", { class: "charts" }, distribution(feature), distance()),
    tests(feature),
    history(),
    close,
  ];
}

function distribution(feature) {
  const sides = (reference, current) =>
    [
      ["training rows", reference, "reference"],
      ["latest rows", current, "current"],
    ].map(([name, rows, colour]) => {
      const sum = rows.reduce((a, b) => a + b, 0);
      return { name: `${name} (${whole(sum)})`, colour, values: rows.map((n) => n / Math.max(1, sum)) };
    });
  if (feature.bins)
    return histogram(
      "Distribution",
      "Shares of the rows in equal bins between the 1st and the 99th percentile of both.",
      feature.bins.edges,
      sides(feature.bins.reference_rows, feature.bins.current_rows),
    );
  if (feature.categories) {
    const found = feature.categories;
    return barChart(
      "Distribution",
      "The categories with the largest share on either side. One that no training row had is new.",
      [...found.values, "others", "missing"],
      sides(
        [...found.reference_rows, found.other_reference_rows, found.missing_reference_rows],
        [...found.current_rows, found.other_current_rows, found.missing_current_rows],
      ),
    );
  }
  return empty("There is no value to draw, or all lie at one point.");
}

function distance() {
  const periods = state.windows.periods.filter(
    (period) => period.windows > 0 && period.features?.[state.chosen],
  );
  return lineChart(
    "Distance over time",
    "The effect of the clearest test in each stretch of time, as a part of its limit: an alarm needs at least the whole.",
    {
      fromZero: true,
      limits: periods.length ? [{ at: 1, label: "limit" }] : [],
      lines: [
        {
          name: "effect by limit",
          colour: "model",
          points: periods.map((period) => [
            Date.parse(period.end),
            period.features[state.chosen].effect / (period.features[state.chosen].limit || 1),
          ]),
        },
      ],
    },
  );
}

function history() {
  const periods = state.windows.periods.filter(
    (period) => period.windows > 0 && period.features?.[state.chosen],
  );
  if (!periods.length) return null;
  const rows = periods
    .slice(-12)
    .reverse()
    .map((period) => {
      const peak = period.features[state.chosen];
      return [
        moment(period.end),
        figure(number(peak.effect)),
        figure(number(peak.limit)),
        figure(pValue(peak.p_value)),
        figure(whole(period.rows)),
        peak.alarmed_windows ? "alarm" : "",
        h("bdi", null, prose(peak.words ?? "", 300)),
      ];
    });
  return h(
    "details",
    null,
    h("summary", null, "The clearest test in each of the latest stretches of time"),
    table(
      `Tests of ${visible(state.chosen, 60)} over time`,
      ["until", "effect", "limit", "p-value", "rows", "verdict", "in words"],
      rows,
    ),
  );
}

const clearestFirst = (tests) => [...tests].sort((a, b) => b.alarmed - a.alarmed || partOf(b) - partOf(a));

function tests(feature) {
  if (!feature.tests.length) return null;
  const lines = clearestFirst(feature.tests).map((test) => [
    test.segment === null ? "all rows" : stranger(test.segment),
    test.statistic,
    figure(number(test.effect)),
    figure(number(test.limit)),
    figure(pValue(test.p_value)),
    test.alarmed ? "alarm" : "",
    h("bdi", null, prose(test.words, 300)),
  ]);
  const headers = ["rows", "test", "effect", "limit", "p-value", "verdict", "in words"];
  return [
    h(
      "h3",
      null,
      `All tests in the latest window, rows ${whole(feature.window_start + 1)} to ${whole(feature.window_stop)}`,
    ),
    table("Tests of the latest window, the clearest first", headers, lines.slice(0, FIRST)),
    lines.length > FIRST
      ? h(
          "details",
          null,
          h("summary", null, plural(lines.length - FIRST, "further test")),
          table("Further tests of the latest window", headers, lines.slice(FIRST, 60)),
        )
      : null,
  ];
}

function segments(context) {
  const { segments: names, segments_left_out: leftOut, periods: all } = state.windows;
  const latest = (state.drift.windowed.latest?.tests ?? []).filter((test) => test.segment !== null);
  const heading = h("h2", null, "Segments");
  const periods = all.filter((period) => period.windows > 0);
  if (!names.length && !latest.length && !periods.length)
    return [
      heading,
      empty([
        "No window was complete in this time. The values of the columns that ",
        h("code", null, "monitoring.segments"),
        " names are tested in each window, where they have rows enough.",
      ]),
    ];
  if (!names.length && !latest.length)
    return [
      heading,
      h(
        "p",
        null,
        "No segment was tested on its own; ",
        h("code", null, "monitoring.segments"),
        " names columns whose values are, those with at least 500 training rows.",
      ),
    ];
  return [
    heading,
    names.length
      ? [
          h(
            "p",
            { class: "small" },
            "Each line is a segment: the feature that moved most within its rows, against its limit. Choose a segment to see that feature.",
          ),
          heatTable(context, {
            caption: "The clearest distance within each segment, against its limit, over time",
            header: "segment",
            names,
            periods,
            peakOf: (period, name) => period.segments?.[name],
            featureOf: (_, peak) => peak?.feature,
          }),
        ]
      : null,
    leftOut
      ? h("p", { class: "small" }, `${plural(leftOut, "further segment")} moved less and is left out.`)
      : null,
    latest.length ? latestOfSegments(latest) : null,
  ];
}

function latestOfSegments(tests) {
  const clearest = clearestFirst(tests).slice(0, FIRST);
  return [
    h("h3", null, "In the latest window"),
    table(
      "The clearest tests within segments, in the latest window",
      ["rows", "feature", "test", "effect", "limit", "p-value", "verdict"],
      clearest.map((test) => [
        stranger(test.segment),
        stranger(test.feature),
        test.statistic,
        figure(number(test.effect)),
        figure(number(test.limit)),
        figure(pValue(test.p_value)),
        test.alarmed ? "alarm" : "",
      ]),
    ),
  ];
}

function notMonitored(found) {
  return [
    h("h2", null, "Not monitored"),
    found.not_monitored.length
      ? [
          h(
            "ul",
            { class: "points" },
            found.not_monitored.map((name) => h("li", null, stranger(name))),
          ),
          h(
            "p",
            { class: "small" },
            "The prediction log leaves these out, or holds only hashes of them (",
            h("code", null, "prediction_log.omit"),
            " and ",
            h("code", null, "prediction_log.hash"),
            "), or a formula rests on one that it does.",
          ),
        ]
      : h("p", null, "Every feature is looked at."),
  ];
}
