// Ask the service. The key is kept in this variable and nowhere else: it is gone when the page is.

let key = null;
const base = new URL(".", document.baseURI);

export const setKey = (text) => {
  key = text;
};
export const hasKey = () => key !== null;

export class Refusal extends Error {
  constructor(status, problem, path) {
    super(problem.detail ?? problem.title ?? `${path}: status ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

// With `maxAge` the answer may be one that another page was given so many seconds ago: the service makes it once.
export async function ask(path, { query = {}, body, signal, maxAge } = {}) {
  const url = new URL(path.replace(/^\//, ""), base);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  const headers = {};
  if (key !== null) headers.authorization = `Bearer ${key}`;
  if (maxAge !== undefined) headers["cache-control"] = `max-age=${maxAge}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(url, {
      method: body === undefined ? "GET" : "POST",
      headers,
      signal,
      cache: "no-store",
      body: body === undefined ? undefined : JSON.stringify(body),
      redirect: "error",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { detail: "the service does not answer" }, path);
  }
  let told = {};
  try {
    told = await answer.json();
  } catch {
    /* a proxy may answer with a page of its own */
  }
  if (!answer.ok) throw new Refusal(answer.status, told, path);
  return told;
}
