// Requests to the service that this page came from.

const KEY = "nonzero-token";
const SECONDS = 10;

/** The service has answered, and not with what was asked for. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }

  /** Whether the same may go well in a moment. */
  get passes() {
    return this.status === 429 || this.status === 502 || this.status === 503 || this.status === 504;
  }
}

/** No answer came. */
export class Unreachable extends Error {}

/** The token: it is kept in this tab, until it is closed. */
export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (text) => (text ? sessionStorage.setItem(KEY, text) : sessionStorage.removeItem(KEY)),
};

let ahead = 0;

/** The time of the service's machine, by which its history is told. */
export const now = () => Date.now() + ahead;

/** Ask, and return what JSON says. */
export async function ask(path, { method = "GET", body } = {}) {
  const headers = {};
  if (token.get()) headers.authorization = `Bearer ${token.get()}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  let text;
  try {
    answer = await fetch(path, { method, headers, body, cache: "no-store", signal: AbortSignal.timeout(1000 * SECONDS) });
    text = await answer.text();
  } catch (error) {
    throw new Unreachable(error.message);
  }
  const date = Date.parse(answer.headers.get("date") ?? "");
  if (date) ahead = Math.abs(date - Date.now()) > 2000 ? date - Date.now() : 0; // it is told in whole seconds
  let said;
  try {
    said = text ? JSON.parse(text) : null;
  } catch {
    throw new Unreachable("what answers is not Nonzero");
  }
  if (!answer.ok) throw new Refused(answer.status, said?.detail ?? `the service answered ${answer.status}`);
  return said;
}

/** The path of a model. */
export const pathOf = (model) => `v1/models/${encodeURIComponent(model)}`;

/** Pass over that something has gone meanwhile: whoever asks for the model's state next hears what is so. */
export function unlessGone(error) {
  if (!(error instanceof Refused) || error.status !== 404) throw error;
  return null;
}
