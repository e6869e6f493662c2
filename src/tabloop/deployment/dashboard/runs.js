// Runs: all of them, two beside each other, where one comes from, who was champion; and what an operator may do.

import { scatter } from "./charts.js";
import { empty, figure, h, prose, s, stranger, table, visible } from "./dom.js";
import { NONE, ago, bytes, moment, number, plural, whole } from "./format.js";

const COLUMNS = [
  ["run_id", "run"],
  ["state", "state"],
  ["created_at", "opened"],
  ["best_model_name", "model"],
  ["roc_auc", "ROC-AUC"],
  ["average_precision", "avg. precision"],
  ["precision", "precision"],
  ["recall", "recall"],
  ["brier_score", "Brier"],
  ["size_bytes", "size"],
];
const state = {
  found: null,
  chosen: [],
  details: {},
  sort: "created_at",
  descending: true,
  filter: "",
  only: "",
  problem: null,
  done: null,
  retraining: null,
  log: "",
  after: 0,
  acting: null,
};

export const runs = {
  name: "runs",
  title: "Runs",
  get everySeconds() {
    return state.retraining?.running ? 2 : 15;
  },
  forget() {
    Object.assign(state, {
      found: null,
      chosen: [],
      details: {},
      retraining: null,
      log: "",
      after: 0,
      done: null,
      problem: null,
    });
  },
  async load(ask) {
    state.ask = ask;
    const [found, retraining] = await Promise.all([
      ask("runs"),
      ask("monitoring/retraining", { query: { after: state.after } }),
    ]);
    if (state.retraining?.begun_at !== retraining.begun_at) state.log = "";
    if (state.retraining?.begun_at !== retraining.begun_at && state.after > 0) {
      state.after = 0;
      Object.assign(retraining, await ask("monitoring/retraining", { query: { after: 0 } }));
    }
    state.log = (state.log + retraining.log).slice(-60_000);
    Object.assign(state, { found, retraining, after: retraining.next_after });
    for (const id of state.chosen) state.details[id] ??= await ask(`runs/${encodeURIComponent(id)}`);
  },
  render(context) {
    if (state.found === null) return [h("p", null, "Asking the service.")];
    return [list(context), sideBySide(context), operations(context), champions(), broken()];
  },
};

function shownRuns() {
  const words = state.filter.toLowerCase();
  const chosen = state.found.runs.filter(
    (run) =>
      (!state.only || run.state === state.only || (state.only === "champion" && run.champion)) &&
      (!words ||
        [run.run_id, run.best_model_name, ...run.tags, ...run.notes].some((text) =>
          String(text ?? "")
            .toLowerCase()
            .includes(words),
        )),
  );
  const value = (run) => run[state.sort];
  const compare = (a, b) =>
    (value(a) === null) - (value(b) === null) ||
    (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0) *
      (state.descending && value(a) !== null && value(b) !== null ? -1 : 1);
  return [...chosen].sort(compare);
}

function list(context) {
  const chosen = shownRuns();
  const header = ([key, text]) => ({
    label: text,
    attributes: { "aria-sort": state.sort === key ? (state.descending ? "descending" : "ascending") : null },
    content: h(
      "button",
      {
        type: "button",
        class: "link",
        click: () => {
          state.descending = state.sort === key ? !state.descending : true;
          state.sort = key;
          context.redraw();
        },
      },
      text,
      state.sort === key ? h("span", { "aria-hidden": "true" }, state.descending ? " ↓" : " ↑") : null,
    ),
  });
  const pick = (run, on) => {
    state.chosen = on
      ? [...state.chosen.filter((id) => id !== run.run_id), run.run_id].slice(-2)
      : state.chosen.filter((id) => id !== run.run_id);
    context.redraw();
    context.reload();
  };
  return [
    h(
      "div",
      { class: "fields", role: "search" },
      h(
        "div",
        { class: "field" },
        h("label", { for: "r-filter" }, "Name, model, tag or note"),
        h("input", {
          id: "r-filter",
          type: "search",
          value: state.filter,
          input: (event) => {
            state.filter = event.target.value;
            context.redraw();
          },
        }),
      ),
      h(
        "div",
        { class: "field" },
        h("label", { for: "r-only" }, "State"),
        h(
          "select",
          {
            id: "r-only",
            "data-value": state.only,
            change: (event) => {
              state.only = event.target.value;
              context.redraw();
            },
          },
          ["", "champion", "passed", "refused", "open"].map((each) =>
            h("option", { value: each, selected: each === state.only }, each || "any"),
          ),
        ),
      ),
    ),
    chosen.length
      ? table(
          "Runs",
          [{ label: "compare", content: h("span", { class: "hidden" }, "compare") }, ...COLUMNS.map(header)],
          chosen.map((run) => ({
            key: run.run_id,
            cells: [
              h("input", {
                type: "checkbox",
                id: `pick-${run.run_id}`,
                "aria-label": `Show run ${visible(run.run_id, 60)}`,
                checked: state.chosen.includes(run.run_id),
                change: (event) => pick(run, event.target.checked),
              }),
              h(
                "label",
                { for: `pick-${run.run_id}` },
                stranger(run.run_id),
                run.champion ? h("strong", { class: "mark" }, " champion") : null,
                run.tags.map((tag) => [" ", h("span", { class: "tag" }, stranger(tag, 30))]),
                run.notes.length ? h("span", { class: "span" }, stranger(run.notes.at(-1), 100)) : null,
              ),
              run.state,
              figure(moment(run.created_at)),
              stranger(run.best_model_name ?? NONE),
              ...["roc_auc", "average_precision", "precision", "recall", "brier_score"].map((name) =>
                figure(run[name] === null ? NONE : run[name].toFixed(4)),
              ),
              figure(bytes(run.size_bytes)),
            ],
          })),
        )
      : empty("No run is chosen by that."),
    h(
      "p",
      { class: "small" },
      `${plural(chosen.length, "run")} of ${whole(state.found.runs.length)}. Figures are of the test rows of each run, which need not be the same rows. Choose one to see it, two to see them beside each other.`,
    ),
  ];
}

const settingOf = (text) => (text === "null" ? h("em", null, "not set") : stranger(text ?? NONE, 120));

const NAMES = {
  roc_auc: "ROC-AUC",
  average_precision: "average precision",
  brier_score: "Brier score",
  f1: "F1",
  expected_calibration_error: "calibration error",
};

function sideBySide(context) {
  const details = state.chosen.map((id) => state.details[id]).filter(Boolean);
  if (!details.length) return null;
  const heads = details.map(
    (each) => `run ${each.summary.run_id.slice(0, 15)}…${each.summary.run_id.slice(-4)}`,
  );
  const names = (pick) => [...new Set(details.flatMap((each) => Object.keys(pick(each))))];
  const cells = (pick, write) =>
    names(pick).map((name) => [
      NAMES[name] ?? name.replaceAll("_", " "),
      ...details.map((each) => figure(name in pick(each) ? write(pick(each)[name]) : NONE)),
    ]);
  const withSpan = (each) => [
    each.value.toFixed(4),
    each.low === null
      ? null
      : h("span", { class: "span" }, ` ${each.low.toFixed(4)} to ${each.high.toFixed(4)}`),
  ];
  const settings = names((each) => each.settings).filter(
    (name) => details.length < 2 || details[0].settings[name] !== details[1].settings[name],
  );
  const gates = [...new Set(details.flatMap((each) => each.gates.map((gate) => gate.name)))];
  return [
    h("h2", null, details.length === 2 ? "Two runs beside each other" : "One run"),
    h("h3", null, "Figures"),
    table(
      "Figures on test rows",
      ["figure", ...heads],
      [
        ...cells((each) => each.figures, withSpan),
        ["promise", ...details.map((each) => prose(each.promise ?? NONE, 200))],
        ["threshold", ...details.map((each) => figure(number(each.summary.threshold, 6)))],
      ],
    ),
    h("h3", null, "Data"),
    table(
      "Rows, and what the runs were made of",
      ["", ...heads],
      [
        ...cells((each) => each.rows, whole),
        ...details[0].made_of.map((part) => [
          part.name,
          ...details.map((each) => {
            const same = each.made_of.find((one) => one.name === part.name);
            return same
              ? [stranger(same.place, 60), h("span", { class: "span" }, same.sha256.slice(0, 16))]
              : NONE;
          }),
        ]),
      ],
    ),
    h("h3", null, "Gates"),
    gates.length
      ? table(
          "What the gates said",
          ["gate", ...heads],
          gates.map((name) => [
            name,
            ...details.map((each) => {
              const gate = each.gates.find((one) => one.name === name);
              return gate
                ? [h("strong", null, gate.passed ? "passed" : "refused"), ": ", prose(gate.reason, 300)]
                : NONE;
            }),
          ]),
        )
      : h("p", null, "No gate has judged yet."),
    h("h3", null, details.length === 2 ? "Settings that differ" : "Settings"),
    settings.length
      ? h(
          "details",
          { open: details.length === 2 && settings.length < 20 },
          h("summary", null, plural(settings.length, "setting")),
          table(
            "Settings",
            ["setting", ...heads],
            settings
              .slice(0, 300)
              .map((name) => [
                h("code", null, visible(name)),
                ...details.map((each) => settingOf(each.settings[name])),
              ]),
          ),
        )
      : h("p", null, "All settings are the same."),
    h("h3", null, "Lineage"),
    h(
      "div",
      { class: "charts" },
      details.map((each) => lineage(each)),
      details.map((each, place) => tradeoffs(each, heads[place])),
    ),
    details.map((each) => actions(context, each.summary)),
  ];
}

// What a run was made of, on the left; what came of it, on the right.
function lineage(detail) {
  const left = [
    ...(detail.challenged ? [{ name: "challenged", place: detail.challenged, sha256: "" }] : []),
    ...detail.made_of,
  ];
  if (!left.length) return empty("The run is not trained yet.");
  const rows = Math.max(left.length, detail.made.length, 2);
  const height = rows * 40 + 12;
  const box = (x, y, width, title, below) => [
    s("rect", { x, y, width, height: 32, rx: 5, fill: "var(--chart-paper)", stroke: "var(--chart-faint)" }),
    s(
      "text",
      { x: x + 7, y: y + 13, "font-size": 10.5, "font-weight": 600, fill: "var(--chart-ink)" },
      title,
    ),
    s(
      "text",
      { x: x + 7, y: y + 26, "font-size": 9.5, fill: "var(--chart-faint)" },
      `\u2068${visible(below, Math.floor(width / 6.6))}\u2069`,
    ),
  ];
  const middle = height / 2;
  const edge = (x1, y1, x2, y2) =>
    s("path", {
      d: `M${x1} ${y1}C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}`,
      fill: "none",
      stroke: "var(--chart-faint)",
    });
  const y = (place, count) => middle + (place - (count - 1) / 2) * 40 - 16;
  const title = `Lineage of run ${detail.summary.run_id}`;
  return h(
    "figure",
    null,
    h("h3", null, stranger(detail.summary.run_id)),
    s(
      "svg",
      {
        viewBox: `0 0 360 ${height}`,
        role: "img",
        "aria-label": `${title}: made of ${left.map((each) => each.name).join(", ")}; it made ${detail.made.map((each) => each.name).join(", ") || "nothing yet"}`,
        "font-family": "system-ui, sans-serif",
      },
      left.map((_, place) => edge(122, y(place, left.length) + 16, 138, middle)),
      detail.made.map((_, place) => edge(234, middle, 250, y(place, detail.made.length) + 16)),
      left.map((each, place) =>
        box(
          2,
          y(place, left.length),
          120,
          each.name,
          each.name === "data" || each.name === "challenged" || each.name === "code"
            ? each.place
            : each.sha256,
        ),
      ),
      box(138, middle - 16, 96, "run", detail.summary.state),
      detail.made.map((each, place) => box(250, y(place, detail.made.length), 108, each.name, each.sha256)),
    ),
    h("figcaption", null, "The lower line is the place, or the beginning of the SHA-256."),
  );
}

function tradeoffs(detail, head) {
  if (!detail.variants.length) return null;
  return scatter(
    `Speed and quality, ${head}`,
    "Every measured variant; filled ones are beaten by no other in everything.",
    "samples a second",
    "ROC-AUC",
    detail.variants.map((each) => ({
      name: `${each.name}, p99 ${number(each.p99_ms)} ms, ${bytes(each.file_bytes)}`,
      x: each.samples_per_s,
      y: each.roc_auc,
      colour: each.is_winner ? "model" : "series-8",
      filled: each.on_frontier,
    })),
    { xLog: true },
  );
}

const reasonField = (id, label) =>
  h(
    "div",
    { class: "field wide" },
    h("label", { for: id }, label),
    h("input", { id, name: "reason", required: true, maxlength: 1000, autocomplete: "off" }),
  );

function mayAct(context) {
  if (!context.keysInForce)
    return h(
      "p",
      { class: "small screen" },
      "Nobody may act through a service without API keys. On the command line ",
      h("code", null, "tabloop rollback"),
      ", ",
      h("code", null, "tabloop release RUN"),
      " and ",
      h("code", null, "tabloop retrain"),
      " do.",
    );
  return context.may("operate")
    ? null
    : h("p", { class: "small screen" }, "This key sees. Acting takes a key with the role operate.");
}

async function act(context, path, body, said) {
  Object.assign(state, { problem: null, done: null });
  try {
    const told = await state.ask(path, { body });
    state.done = said(told);
    context.announce(state.done);
  } catch (error) {
    if (error.name === "AbortError") return;
    state.problem = error.message;
  }
  context.redraw();
  context.reload();
}

function actions(context, run) {
  if (mayAct(context) !== null || run.champion || run.state !== "passed") return null;
  const wasChampion = state.found.decisions.some(
    (each) => each.run_id === run.run_id && each.decision === "promoted",
  );
  const submit = (event) => {
    event.preventDefault();
    const reason = new FormData(event.target).get("reason").trim();
    const path = event.submitter?.value === "rollback" ? "rollback" : "promote";
    act(
      context,
      path,
      { run_id: run.run_id, reason },
      (told) =>
        `Run ${told.run_id} is the champion; before it was ${told.before}. The workers follow within a second.`,
    );
  };
  return h(
    "form",
    { class: "fields act", submit, "data-key": `act ${run.run_id}`, "aria-label": `Run ${run.run_id}` },
    reasonField(`why-${run.run_id}`, `Make ${visible(run.run_id, 40)} the champion, because`),
    h("button", { type: "submit", value: "promote" }, "Promote"),
    wasChampion ? h("button", { type: "submit", value: "rollback" }, "Roll back to it") : null,
  );
}

function operations(context) {
  const { retraining, problem, done } = state;
  const refused = mayAct(context);
  const rollBack = (event) => {
    event.preventDefault();
    const reason = new FormData(event.target).get("reason").trim();
    event.target.reset();
    act(context, "rollback", { reason }, (told) => `Rolled back to run ${told.run_id}.`);
  };
  const retrain = (event) => {
    event.preventDefault();
    const reason = new FormData(event.target).get("reason").trim();
    event.target.reset();
    act(context, "retrain", { reason }, () => "A retraining began; what it says stands below.");
  };
  return [
    h("h2", { class: "screen" }, "Operate"),
    problem === null ? null : h("p", { class: "verdict bad", role: "alert" }, prose(problem, 600)),
    done === null ? null : h("p", { class: "verdict good" }, prose(done, 600)),
    refused,
    refused === null
      ? [
          h(
            "form",
            { class: "fields act", submit: rollBack, "data-key": "rollback", "aria-label": "Roll back" },
            reasonField("why-rollback", "Go back to the champion before this one, because"),
            h("button", { type: "submit" }, "Roll back"),
          ),
          h(
            "form",
            { class: "fields act", submit: retrain, "data-key": "retrain", "aria-label": "Retrain" },
            reasonField("why-retrain", "Train a challenger on the outcomes, because"),
            h("button", { type: "submit", disabled: retraining.running }, "Retrain"),
          ),
        ]
      : null,
    retraining.begun_at === null
      ? null
      : [
          h("h3", null, "The latest retraining"),
          h(
            "p",
            null,
            retraining.running
              ? `Under way since ${moment(retraining.begun_at)}`
              : `Ended ${retraining.ended_at ? ago(retraining.ended_at) : "without a word"}: ${endWords(retraining)}`,
            ". Reason: ",
            stranger(retraining.reason, 300),
          ),
          h(
            "pre",
            {
              class: "log",
              tabindex: "0",
              role: "log",
              "aria-label": "Log of the retraining",
              "data-key": "log",
            },
            state.log
              .split("\n")
              .slice(-300)
              .map((line) => `${visible(line, 400)}\n`)
              .join(""),
          ),
        ],
  ];
}

const endWords = ({ exit_code: code }) =>
  code === 0
    ? "the challenger is the champion"
    : code === 1
      ? "the challenger was refused"
      : code === null
        ? "its process was killed"
        : "it failed";

function champions() {
  const { decisions } = state.found;
  return [
    h("h2", null, "History of champions"),
    decisions.length
      ? table(
          "Every decision about the champion, the latest first",
          ["time", "decision", "run", "reason"],
          decisions
            .slice(0, 60)
            .map((each) => [
              moment(each.time),
              each.decision.replaceAll("_", " "),
              stranger(each.run_id),
              h("bdi", null, prose(each.reason, 400)),
            ]),
        )
      : empty("Nothing was decided yet."),
  ];
}

function broken() {
  return state.found.broken.length
    ? [
        h("h2", null, "Runs that cannot be read"),
        h(
          "ul",
          { class: "points" },
          state.found.broken.map((each) => h("li", null, prose(each, 400))),
        ),
      ]
    : null;
}
