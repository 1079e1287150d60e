// Show a body by its type. Nothing here is ever taken for HTML.

const MOST_ROWS = 200;

export function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

export function isStreamed(type) {
  return /^(text\/event-stream|application\/(x-)?(jsonlines|ndjson))/.test(type);
}

function isText(type) {
  return /^text\/|json|xml|javascript|x-www-form-urlencoded/.test(type);
}

function table(rows, head) {
  const made = element("table");
  if (head) {
    const line = made.createTHead().insertRow();
    for (const name of head) line.append(element("th", name));
  }
  const body = made.createTBody();
  for (const row of rows.slice(0, MOST_ROWS)) {
    const line = body.insertRow();
    for (const cell of row) line.insertCell().textContent = plain(cell);
  }
  const box = element("div", undefined, "scroll");
  box.append(made);
  if (rows.length > MOST_ROWS) {
    box.append(element("p", `and ${rows.length - MOST_ROWS} more rows`, "quiet"));
  }
  return box;
}

function plain(value) {
  return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);
}

function isRecord(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

// Rows of values, or objects with the same names; null for anything else.
function tableOf(value) {
  if (!Array.isArray(value) || !value.length) return null;
  if (value.every((row) => Array.isArray(row) && row.every((cell) => typeof cell !== "object"))) {
    return table(value);
  }
  if (value.every(isRecord)) {
    const names = Object.keys(value[0]);
    if (value.every((row) => Object.keys(row).join() === names.join())) {
      return table(value.map((row) => names.map((name) => row[name])), names);
    }
  }
  return null;
}

function csvRows(text) {
  const rows = [[]];
  for (const [, quoted, bare, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/g)) {
    rows.at(-1).push(quoted === undefined ? bare : quoted.replaceAll('""', '"'));
    if (end === "") break;
    if (end !== ",") rows.push([]);
  }
  return rows.filter((row) => row.length > 1 || row[0]);
}

function jsonView(text) {
  const box = element("div");
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return element("pre", text);
  }
  const trace = value?.error?.traceback;
  if (trace) {
    box.append(element("p", value.error.message), element("pre", trace, "traceback"));
    return box;
  }
  const rows = tableOf(value);
  if (rows) box.append(rows);
  box.append(element("pre", rows ? text : JSON.stringify(value, null, 2)));
  return box;
}

export function sized(count) {
  return `${count} byte${count === 1 ? "" : "s"}`;
}

// Scripts within an SVG do not run where it is the source of an image.
function imageView(bytes, kind) {
  const image = element("img");
  image.alt = `${sized(bytes.length)} of ${kind}`;
  image.src = URL.createObjectURL(new Blob([bytes], { type: kind }));
  const revoke = () => URL.revokeObjectURL(image.src);
  image.addEventListener("load", revoke);
  image.addEventListener("error", revoke);
  return image;
}

export function view(bytes, type) {
  const kind = type.split(";")[0].trim().toLowerCase();
  if (kind === "image/svg+xml" && bytes.length) {
    const box = element("div");
    box.append(imageView(bytes, kind), element("pre", new TextDecoder().decode(bytes)));
    return box;
  }
  if (kind.startsWith("image/") && bytes.length) return imageView(bytes, kind);
  if (!isText(kind) && bytes.length) {
    const beginning = [...bytes.slice(0, 256)].map((byte) => byte.toString(16).padStart(2, "0"));
    const box = element("div");
    box.append(element("p", `${sized(bytes.length)} of ${kind || "no type"}`, "quiet"));
    box.append(element("pre", beginning.join(" ")));
    return box;
  }
  const text = new TextDecoder().decode(bytes);
  if (!text) return element("p", "An empty body.", "quiet");
  if (kind === "text/csv") return table(csvRows(text));
  if (isStreamed(kind)) return element("pre", text);
  if (/json/.test(kind)) return jsonView(text);
  return element("pre", text);
}

export function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}
