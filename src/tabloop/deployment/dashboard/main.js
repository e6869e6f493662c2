// The pages, the way between them, the session, and asking again while the page is looked at.

import { Refusal, ask, hasKey, setKey } from "./api.js";
import { announce, h, show } from "./dom.js";
import { moment } from "./format.js";
import { decisions } from "./decisions.js";
import { drift } from "./drift.js";
import { now } from "./now.js";
import { performance } from "./performance.js";
import { runs } from "./runs.js";
import { streams } from "./streams.js";
import { tryIt } from "./try-it.js";

const PAGES = [now, drift, performance, decisions, runs, tryIt, streams];
const main = document.getElementById("page");

let access = { keys_in_force: false, roles: [] };
let page = null;
let problem = null;
let updated = null;
let timer = null;
let asking = null;

// What a page may use: what it knows, what the asker may do, and how to say that something changed.
const context = {
  may: (role) => access.roles.includes(role),
  get keysInForce() {
    return access.keys_in_force;
  },
  redraw,
  reload,
  announce,
};

function chosen() {
  const name = /^#\/([a-z-]+)/.exec(location.hash)?.[1];
  return PAGES.find((each) => each.name === name) ?? PAGES[0];
}

function drawFrame() {
  show(
    document.getElementById("pages"),
    h(
      "ul",
      null,
      PAGES.map((each) =>
        h(
          "li",
          null,
          h("a", { href: `#/${each.name}`, "aria-current": each === page ? "page" : null }, each.title),
        ),
      ),
    ),
  );
  show(
    document.getElementById("session"),
    access.keys_in_force && hasKey()
      ? h(
          "button",
          {
            type: "button",
            click: () => {
              setKey(null);
              access = { ...access, roles: [] };
              page?.forget?.();
              enter();
            },
          },
          "Sign out",
        )
      : null,
  );
  show(
    document.getElementById("foot"),
    h(
      "p",
      null,
      updated === null
        ? ""
        : `Updated ${moment(updated, true)}${page.everySeconds < 600 ? `; asked again every ${page.everySeconds} s while this page is in front` : ""}. `,
      h("a", { href: "docs" }, "All paths of the service"),
    ),
  );
}

function redraw() {
  drawFrame();
  if (access.keys_in_force && !access.roles.includes("read")) {
    show(main, ...signIn());
    return;
  }
  const notice =
    problem === null
      ? null
      : h(
          "p",
          { class: "verdict bad", role: "alert", "data-key": "problem" },
          `${problem.status ? "" : "Not updated: "}${problem.message}`,
        );
  show(main, h("h1", { id: "title", tabindex: "-1" }, page.title), notice, page.render(context));
}

let refused = null;

function signIn() {
  const submit = async (event) => {
    event.preventDefault();
    const field = document.getElementById("key");
    setKey(field.value.trim());
    field.value = "";
    try {
      access = await ask("access");
      refused = access.roles.includes("read")
        ? null
        : `This key has the role ${access.roles.join(", ") || "none"}; the dashboard needs the role read.`;
    } catch (error) {
      refused = error.message;
    }
    if (refused !== null) {
      setKey(null);
      access = { ...access, roles: [] };
    }
    enter({ byHand: refused === null });
  };
  return [
    h("h1", { id: "title", tabindex: "-1" }, "Sign in"),
    h(
      "p",
      null,
      "This service answers whoever has a key. The key stays in the memory of this page, and is gone when the page is closed or loaded again.",
    ),
    refused === null ? null : h("p", { class: "verdict bad", role: "alert" }, refused),
    h(
      "form",
      { class: "fields", submit, autocomplete: "off" },
      h("label", { for: "key" }, "API key"),
      h("input", {
        id: "key",
        name: "key",
        type: "password",
        autocomplete: "off",
        required: true,
        spellcheck: "false",
      }),
      h("button", { type: "submit" }, "Sign in"),
    ),
  ];
}

// What the clock asks for may be what another dashboard was told in the meantime: the service then makes it once
// for all of them. Who does something by hand sees what is so now.
async function reload({ byClock = false } = {}) {
  clearTimeout(timer);
  asking?.abort();
  if (access.keys_in_force && !access.roles.includes("read")) {
    redraw();
    return;
  }
  const own = (asking = new AbortController());
  const about = page;
  try {
    await about.load(
      (path, options = {}) =>
        ask(path, {
          ...options,
          maxAge: byClock ? (options.maxAge ?? about.everySeconds) : undefined,
          signal: options.body === undefined ? own.signal : undefined,
        }),
      context,
    );
    if (own.signal.aborted) return;
    problem = null;
    updated = new Date().toISOString();
  } catch (error) {
    if (error.name === "AbortError" || own.signal.aborted) return;
    if (!(error instanceof Refusal)) throw error;
    if (error.status === 401) {
      setKey(null);
      await learnAccess();
    }
    problem = error;
  }
  redraw();
  timer = setTimeout(() => tick({ byClock: true }), 1000 * (problem === null ? about.everySeconds : 5));
}

// A page in the background asks nothing; it asks at once when it comes back to the front.
function tick(how) {
  if (document.visibilityState === "visible") reload(how);
}

document.addEventListener("visibilitychange", () => tick());

// Escape closes what was opened; in a field it keeps the meaning that the browser gives it.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.target.closest("input, select")) page?.close?.(context);
});

async function learnAccess() {
  try {
    access = await ask("access");
  } catch (error) {
    problem = error;
  }
}

function enter({ byHand = false } = {}) {
  const before = page;
  page = chosen();
  if (page !== before) {
    problem = null;
    updated = null;
  }
  document.title = `${page.title} – tabloop`;
  redraw();
  if (byHand) document.getElementById("title")?.focus();
  reload();
}

window.addEventListener("hashchange", () => {
  if (location.hash.startsWith("#/")) enter({ byHand: true });
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
await learnAccess();
enter();
