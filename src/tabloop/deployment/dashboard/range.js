// How far back a page looks.

import { h } from "./dom.js";

export const ranges = {
  hour: { label: "1 hour", hours: 1 },
  day: { label: "1 day", hours: 24 },
  week: { label: "7 days", hours: 168 },
  month: { label: "30 days", hours: 720 },
};

export function rangeChoice(state, context, names = Object.keys(ranges)) {
  return h(
    "div",
    { class: "choice", role: "group", "aria-label": "How far back" },
    names.map((name) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": String(state.range === name),
          click: () => {
            state.range = name;
            context.redraw();
            context.reload();
          },
        },
        ranges[name].label,
      ),
    ),
  );
}
