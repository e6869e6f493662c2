// Now: whether the model is healthy, since when not, and what to do.

import { lineChart } from "./charts.js";
import { figure, h, prose, stranger, table, tile } from "./dom.js";
import {
  NONE,
  ago,
  bounded,
  duration,
  milliseconds,
  moment,
  number,
  percent,
  plural,
  whole,
} from "./format.js";
import { rangeChoice, ranges } from "./range.js";

const state = { overview: null, health: null, traffic: null, windows: null, range: "day", past: null };

// What is told of the past grows by a line a minute; it is asked for again after so long.
const PAST_SECONDS = 30;

export const now = {
  name: "now",
  title: "Now",
  everySeconds: 5,
  forget() {
    Object.assign(state, { overview: null, health: null, traffic: null, windows: null, past: null });
  },
  async load(ask, context) {
    const { range, past } = state;
    const asked = Date.now();
    const known = past?.range === range && asked - past.asked < 1000 * PAST_SECONDS;
    const { hours } = ranges[range];
    const [overview, health, traffic, windows] = await Promise.all([
      ask("monitoring/overview"),
      ask("health"),
      known
        ? state.traffic
        : ask("monitoring/traffic", { query: { hours, periods: 96 }, maxAge: PAST_SECONDS }),
      known
        ? state.windows
        : ask("monitoring/windows", {
            query: { hours: Math.max(24, hours), periods: 60 },
            maxAge: PAST_SECONDS,
          }),
    ]);
    if (!known) state.past = { range, asked };
    const names = (told) => told?.alarms.map((alarm) => alarm.name).join(", ");
    if (state.overview !== null && names(state.overview) !== names(overview))
      context.announce(`${plural(overview.alarms.length, "alarm is", "alarms are")} on. ${names(overview)}`);
    Object.assign(state, { overview, health, traffic, windows });
  },
  render(context) {
    const { overview, health } = state;
    if (overview === null) return [h("p", null, "Asking the service.")];
    return [
      verdict(overview, health),
      tiles(overview, health),
      alarms(overview),
      troubles(health),
      champion(overview),
      h("h2", null, "Lately"),
      rangeChoice(state, context),
      h("div", { class: "charts" }, charts(state)),
    ];
  },
};

function verdict(overview, health) {
  const since = overview.alarms
    .map((alarm) => alarm.since)
    .filter(Boolean)
    .sort()[0];
  if (overview.alarms.length) {
    return h(
      "p",
      { class: "verdict bad" },
      `${plural(overview.alarms.length, "alarm is", "alarms are")} on`,
      since ? `, the first since ${moment(since)} (${ago(since)}). ` : ". ",
      "What moved, and what to do, stands below.",
    );
  }
  if (health.status !== "ok")
    return h("p", { class: "verdict bad" }, `The service is ${health.status}; no alarm is on.`);
  if (!overview.rows_since_live)
    return h(
      "p",
      { class: "verdict" },
      "Nothing was asked since this model went live: no alarm is on, and nothing is known yet.",
    );
  return h("p", { class: "verdict good" }, "No alarm is on. ", promiseWords(overview.promise));
}

const PROMISED = {
  precision: "Precision",
  recall: "Recall",
  capacity: "Positive in 1,000 rows",
  costs: "Value of 1,000 rows",
};

function promisedWords({ objective, promise, promised_precision: precision }) {
  const promised = objective === "precision" ? precision : promise?.promised;
  if (promised === null || promised === undefined) return "what is promised stands below";
  return `promised ${objective === "capacity" ? "at most" : "at least"} ${number(promised)}`;
}

function promiseWords(promise) {
  if (promise === null) return "The monitor has not looked at outcomes yet.";
  if (promise.verdict === "supported") return "Outcomes bear out what the threshold promised.";
  if (promise.verdict === "refuted") return "Outcomes refute what the threshold promised.";
  return promise.observed !== null
    ? "The outcomes so far do not tell whether the promise holds."
    : "No outcome tells yet whether the promise holds.";
}

function tiles(overview, health) {
  const { traffic, promise, positive_rate: rate } = overview;
  const log = health.prediction_log;
  return h(
    "ul",
    { class: "tiles" },
    tile(
      "Requests",
      `${number(traffic.requests_per_s)}/s`,
      `over the latest ${duration(traffic.interval_s)}`,
    ),
    tile(
      "Decisions",
      `${number(traffic.decisions_per_s)}/s`,
      `${whole(overview.rows_since_live)} since it went live`,
    ),
    tile(
      "Latency p99",
      milliseconds(traffic.latency_p99_ms),
      traffic.latency_path === null
        ? "nothing was asked lately"
        : `p50 ${milliseconds(traffic.latency_p50_ms)}, p95 ${milliseconds(traffic.latency_p95_ms)}; ${traffic.latency_path}`,
    ),
    tile(
      "Positive decisions",
      percent(rate.latest),
      `${percent(rate.training)} in training; latest ${whole(rate.latest_rows)} rows`,
    ),
    tile(
      PROMISED[overview.objective],
      promise ? number(promise.observed) : NONE,
      `${promisedWords(overview)}; ${promise?.verdict ?? "not looked at yet"}`,
      promise?.verdict === "refuted" ? "bad" : null,
    ),
    tile(
      "Waiting",
      whole(overview.queue_rows),
      `rows in the queue; ${whole(traffic.queue_refused_records)} refused lately`,
    ),
    tile(
      "Prediction log",
      log.writable ? "writable" : "not writable",
      `${whole(log.dropped_rows)} rows dropped, ${whole(log.refused_rows)} refused`,
      log.writable ? null : "bad",
    ),
    tile("Refused records", whole(traffic.refused_records), "by the contract, lately"),
  );
}

function alarms(overview) {
  if (!overview.alarms.length) return null;
  return [
    h("h2", null, "Alarms"),
    table(
      "Alarms that are on",
      ["alarm", "since", "what moved", "what to do"],
      overview.alarms.map((alarm) => ({
        key: alarm.name,
        cells: [
          stranger(alarm.name),
          alarm.since ? `${moment(alarm.since)}, ${ago(alarm.since)}` : "before the monitor said when",
          h("bdi", null, prose(alarm.words || "the monitor has not looked again yet", 220)),
          prose(alarm.action),
        ],
      })),
    ),
  ];
}

function troubles(health) {
  if (!health.troubles.length) return null;
  return [
    h("h2", null, "Troubles of the service"),
    h(
      "ul",
      { class: "points" },
      health.troubles.map((trouble) => h("li", null, prose(trouble, 600))),
    ),
  ];
}

function champion(overview) {
  const { promise, figures, retraining } = overview;
  const names = { precision: "Precision", recall: "Recall", roc_auc: "ROC-AUC" };
  return [
    h("h2", null, "Champion"),
    h(
      "div",
      { class: "summary" },
      h(
        "dl",
        null,
        [
          ["Run", stranger(overview.run_id)],
          ["Model", stranger(overview.model)],
          [
            "Live since",
            overview.live_since
              ? `${moment(overview.live_since)}, ${ago(overview.live_since)}`
              : "no decision says so",
          ],
          ["Decides positive from", `a probability of ${number(overview.decision_threshold, 4)}`],
          ["Promise", prose(overview.promise_statement)],
          ["What outcomes say", prose(promise?.reason || promiseWords(promise))],
          ["Retraining", retraining ? prose(retraining.reason, 260) : "not looked at yet"],
          ["Next step", retraining ? prose(retraining.recommended_action) : NONE],
        ].map(([name, value]) => [h("dt", null, name), h("dd", null, value)]),
      ),
      h(
        "div",
        null,
        table(
          "Figures at release, estimated and realized",
          ["figure", "at release", "estimated now", "realized"],
          Object.entries(figures).map(([name, each]) => [
            names[name] ?? name,
            figure(bounded(each.at_release)),
            figure(bounded(each.estimated)),
            figure(bounded(each.realized)),
          ]),
        ),
        h(
          "p",
          { class: "small" },
          `Estimated without outcomes on the latest rows; realized on ${plural(overview.labelled_rows, "prediction")} with an outcome. Small: the intervals.`,
        ),
      ),
    ),
  ];
}

function charts({ traffic, windows }) {
  const points = (name) => traffic.periods.map((period) => [Date.parse(period.start), period[name]]);
  const [from, to] = [Date.parse(traffic.since), Date.parse(traffic.until)];
  const seen = windows.periods.filter((period) => period.windows > 0);
  const swaps = seen
    .filter((period, place) => place > 0 && seen[place - 1].run_id !== period.run_id)
    .map((period) => ({ at: Date.parse(period.start), label: `run ${period.run_id}` }));
  const rates = seen.filter((period) => period.positive_rate !== null && period.positive_rate !== undefined);
  return [
    lineChart("Answered a second", "Requests on all paths, and rows that were decided.", {
      from,
      to,
      fromZero: true,
      lines: [
        { name: "requests", colour: "series-1", points: points("requests_per_s") },
        { name: "decisions", colour: "series-3", points: points("decisions_per_s") },
      ],
    }),
    lineChart(
      "Latency, ms",
      "Of the path that decides most, in the slowest minute of each stretch: upper ends of the histogram's buckets.",
      {
        from,
        to,
        fromZero: true,
        lines: [
          { name: "p50", colour: "series-6", points: points("latency_p50_ms") },
          { name: "p95", colour: "series-1", points: points("latency_p95_ms") },
          { name: "p99", colour: "series-2", points: points("latency_p99_ms") },
        ],
      },
    ),
    lineChart(
      "Positive decisions",
      "The rate in the drift window at the end of each tested window, beside the training rows out-of-fold.",
      {
        y: "percent",
        marks: swaps,
        limits: rates.length
          ? [{ at: state.overview.positive_rate.training, label: "in training", colour: "reference" }]
          : [],
        lines: [
          {
            name: "positive decisions",
            colour: "model",
            points: rates.map((period) => [Date.parse(period.end), period.positive_rate]),
          },
        ],
      },
    ),
    lineChart(
      "Records that were not answered",
      "Refused by the contract, refused since the queue was full, or not logged; in each stretch.",
      {
        from,
        to,
        fromZero: true,
        lines: [
          { name: "by the contract", colour: "series-2", points: points("refused_records") },
          { name: "queue full", colour: "series-4", points: points("queue_refused_records") },
          { name: "not logged", colour: "series-1", points: points("not_logged_records") },
        ],
      },
    ),
  ];
}
