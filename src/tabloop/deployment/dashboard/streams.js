// Streams: how the consumer of events stands, when one runs on the same artifact folder.

import { lineChart } from "./charts.js";
import { empty, figure, h, stranger, table, tile } from "./dom.js";
import { NONE, ago, milliseconds, moment, number, whole } from "./format.js";

const state = { found: null, points: [] };

export const streams = {
  name: "streams",
  title: "Streams",
  everySeconds: 5,
  forget() {
    Object.assign(state, { found: null, points: [] });
  },
  async load(ask) {
    state.found = await ask("monitoring/streams");
    const { consumer } = state.found;
    if (consumer?.running && state.points.at(-1)?.time !== consumer.time)
      state.points = [...state.points, consumer].slice(-240);
  },
  render() {
    if (state.found === null) return [h("p", null, "Asking the service.")];
    const { consumer } = state.found;
    if (consumer === null)
      return [
        empty([
          "No consumer of events ran on this artifact folder. ",
          h("code", null, "tabloop stream"),
          " starts one.",
        ]),
      ];
    return [
      h(
        "p",
        { class: `verdict ${consumer.running ? "good" : ""}` },
        consumer.running
          ? `A consumer runs since ${moment(consumer.begun_at)}, from `
          : `The latest consumer is not running any more; it said how it stood ${ago(consumer.time)}. It read from `,
        stranger(consumer.source),
        " to ",
        stranger(consumer.sink),
        ".",
      ),
      h(
        "ul",
        { class: "tiles" },
        tile(
          "Lag",
          consumer.lag_rows === null ? NONE : whole(consumer.lag_rows),
          consumer.lag_rows === null ? "the broker does not tell" : "events wait in the broker",
        ),
        tile(
          "Throughput",
          `${number(consumer.running ? consumer.pace_rows_per_s : consumer.throughput_rows_per_s)}/s`,
          consumer.running
            ? `lately; ${number(consumer.throughput_rows_per_s)}/s since it began`
            : "while it ran",
        ),
        tile(
          "Dead letters",
          whole(consumer.invalid + consumer.dropped),
          `${whole(consumer.invalid)} invalid, ${whole(consumer.dropped)} shed`,
          consumer.invalid + consumer.dropped ? "bad" : null,
        ),
        tile(
          "Decided",
          whole(consumer.decided),
          `${whole(consumer.consumed)} pulled, ${whole(consumer.repeated)} again`,
        ),
        tile(
          "Latency p99",
          milliseconds(consumer.end_to_end_latency.p99_ms),
          `p50 ${milliseconds(consumer.end_to_end_latency.p50_ms)}, from arrival to acknowledgement`,
        ),
        tile(
          "Held",
          consumer.held_rows === null ? NONE : whole(consumer.held_rows),
          `at most ${whole(consumer.deepest_queue_rows)} waited in the process`,
        ),
      ),
      h("h2", null, "Since this page is open"),
      h(
        "div",
        { class: "charts" },
        lineChart("Throughput", "Events a second.", {
          fromZero: true,
          lines: [
            {
              name: "events a second",
              colour: "model",
              points: state.points.map((each) => [Date.parse(each.time), each.pace_rows_per_s]),
            },
          ],
        }),
        lineChart("Lag", "Events that wait in the broker.", {
          fromZero: true,
          lines: [
            {
              name: "waiting",
              colour: "series-2",
              points: state.points.map((each) => [Date.parse(each.time), each.lag_rows]),
            },
          ],
        }),
      ),
      h("h2", null, "Latency"),
      table(
        "Latency by stage",
        ["what", "p50", "p95", "p99", "largest"],
        [
          ["from arrival to scoring", consumer.queue_latency],
          ["from arrival to acknowledgement", consumer.end_to_end_latency],
        ].map(([name, each]) => [
          name,
          ...["p50_ms", "p95_ms", "p99_ms", "max_ms"].map((key) => figure(milliseconds(each[key]))),
        ]),
      ),
      h(
        "p",
        { class: "small" },
        `${number(consumer.rows_per_batch)} rows a batch. Runs that decided: `,
        consumer.run_ids.length
          ? consumer.run_ids.map((name, place) => [place ? ", " : "", stranger(name)])
          : "none",
        ".",
      ),
    ];
  },
};
