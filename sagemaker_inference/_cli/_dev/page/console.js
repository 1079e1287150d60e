// The console of `sagemaker-inference dev`.
import { bytesOf, element, isStreamed, sized, view } from "/responses.js";

const PAUSE = 1000;
const byId = (id) => document.getElementById(id);
const queues = [];
let samples = [];
let binary = null; // the body, where it is not text
let loads = "";
let selected = null;
let running = null;

async function get(path) {
  const reply = await fetch(path);
  if (!reply.ok && reply.headers.get("content-type") !== "application/json") {
    throw new Error(await reply.text());
  }
  return reply.json();
}

// Plots: each has 60 steps across, but that of batches, which has letters.

function draw(id, children, width) {
  const svg = byId(id);
  svg.setAttribute("viewBox", `0 0 ${width} 64`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.replaceChildren(...children);
}

function shape(name, values, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function bar(x, width, value, top, className, from = 0) {
  const height = (62 * value) / top;
  const y = 64 - height - (62 * from) / top;
  return shape("rect", { x, y, width, height, class: className });
}

function line(values, top, className) {
  let path = "";
  values.forEach((value, x) => {
    if (value === null || value === undefined) return;
    const isStart = values[x - 1] === null || values[x - 1] === undefined;
    const y = 64 - (62 * value) / top;
    path += `${isStart ? `M${x - 0.4} ${y}L` : "L"}${x} ${y}`;
  });
  return shape("path", { d: path, class: `path ${className}` });
}

function plot(state) {
  const most = Math.max(1, ...state.counts);
  const bars = state.counts.flatMap((count, x) => [
    bar(x, 0.8, count - state.failures[x], most, "bar"),
    bar(x, 0.8, state.failures[x], most, "bar failed", count - state.failures[x]),
  ]);
  draw("plot-rate", bars.filter((one) => one.getAttribute("height") > 0), 60);
  byId("rate").textContent = state.counts.at(-2);

  const medians = state.latencies.map((one) => one?.[0] ?? null);
  const highest = state.latencies.map((one) => one?.[2] ?? null);
  const top = Math.max(1, ...highest.filter((one) => one !== null));
  draw("plot-latency", [line(medians, top, ""), line(highest, top, "second")], 60);
  const shown = state.latency?.map((one) => (one < 10 ? one.toFixed(1) : Math.round(one)));
  byId("latency").textContent = shown ? `${shown[0]} · ${shown[1]} · ${shown[2]}` : "";

  const sizes = Object.entries(state.batches).filter(([, count]) => count);
  const batches = sizes.reduce((sum, [, count]) => sum + count, 0);
  const largest = Math.max(1, ...sizes.map(([, count]) => count));
  // In pixels: letters are not to be stretched.
  const width = byId("plot-batches").getBoundingClientRect().width;
  const step = width / Math.max(6, sizes.length);
  draw("plot-batches", sizes.flatMap(([size, count], x) => [
    bar((x + 0.2) * step, 0.6 * step, count, largest * 1.3, "bar"),
    shape("text", { x: (x + 0.5) * step, y: 60 - (62 * count) / (largest * 1.3) }, size),
  ]), width);
  byId("batches").textContent = batches ? `${batches} of up to ${sizes.at(-1)[0]}` : "none yet";

  queues.push(state.queue.waiting ?? 0);
  if (queues.length > 60) queues.shift();
  draw("plot-queue", queues.map((one, x) => bar(x, 0.8, one, Math.max(1, ...queues), "bar")), 60);
  byId("queue").textContent = `${state.queue.waiting ?? 0} waiting · ${state.running} in progress`;
}

// The state.

function phaseOf(state) {
  if (!state.ping) return ["bad", "not running", ""];
  if (state.ping.status === 200) return ["good", "healthy", state.is_loading ? "loading a change" : ""];
  let said = {};
  try { said = JSON.parse(state.ping.body); } catch { /* an error of the proxy */ }
  return ["wait", said.status ?? `ping ${state.ping.status}`, said.phase ?? said.cause ?? ""];
}

function show(state) {
  document.title = `${state.program} · dev`;
  byId("program").textContent = state.program;
  const [className, health, phase] = phaseOf(state);
  byId("health").className = `pill ${className}`;
  byId("health").textContent = health;
  const took = state.load_seconds ? ` in ${state.load_seconds.toFixed(2)} s` : "";
  const loaded = state.number ? `program ${state.number}, loaded${state.problem ? "" : took}` : "";
  byId("phase").textContent = phase || loaded;
  byId("address").textContent = `${state.address} · ${state.kind}`;
  byId("problem").hidden = !state.problem;
  byId("problem-text").textContent = state.problem;
  byId("problem-log").textContent = state.log.join("\n");
  plot(state);
  list(state.requests);
  const now = `${state.number} ${state.problem} ${state.is_loading}`;
  if (now !== loads && !state.is_loading) {
    loads = now;
    refresh();
  }
}

async function poll() {
  try {
    show(await get("/api/state"));
  } catch {
    byId("health").className = "pill bad";
    byId("health").textContent = "dev has ended";
  }
  setTimeout(poll, PAUSE);
}

// The last requests.

function list(requests) {
  const rows = requests.map((one) => {
    const row = element("tr");
    const at = new Date(one.at * 1000).toLocaleTimeString([], { hour12: false });
    const status = one.status ? String(one.status) : "";
    const isBad = one.problem || one.status >= 400;
    const time = one.seconds === null ? "…" : (1000 * one.seconds).toFixed(1);
    row.append(
      element("td", one.number),
      element("td", at),
      element("td", `${one.method} ${one.target}`),
      element("td", one.problem && !one.status ? one.problem : status, isBad ? "bad" : "good"),
      element("td", time),
      element("td", `${one.sizes[0]} → ${one.sizes[1]}`),
    );
    row.setAttribute("aria-selected", one.number === selected);
    row.addEventListener("click", () => detail(one.number));
    return row;
  });
  byId("requests").tBodies[0].replaceChildren(...rows);
}

function part(title, node) {
  const box = element("div");
  box.append(element("h3", title), node);
  return box;
}

async function detail(number) {
  const details = byId("details");
  selected = selected === number ? null : number;
  details.hidden = selected === null;
  if (selected === null) return;
  let one;
  try {
    one = await get(`/api/requests/${number}`);
  } catch (error) {
    details.replaceChildren(element("p", error.message, "bad"));
    return;
  }
  const headers = one.headers.map(([name, value]) => `${name}: ${value}`).join("\n");
  const type = one.headers.find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? "";
  const left = element("div");
  left.append(
    part(`Request ${one.number} to program ${one.program}`, element("pre", headers)),
    part(`Body, ${sized(one.request.size)}`, view(bytesOf(one.request.data), type)),
  );
  const first = one.first === null ? "none" : `${(1000 * one.first).toFixed(1)} ms`;
  const whole = one.seconds === null ? "not over" : `${(1000 * one.seconds).toFixed(1)} ms`;
  const right = element("div");
  right.append(part("Timing", element("pre", `first byte: ${first}\nwhole: ${whole}`)));
  if (one.problem) right.append(part("Problem", element("pre", one.problem, "bad")));
  right.append(
    part(`Response ${one.status}, ${sized(one.response.size)} of ${one.content_type || "no type"}`,
      view(bytesOf(one.response.data), one.content_type)),
  );
  details.replaceChildren(left, right);
}

// What the program is: samples of its requests, and what `check` finds.

async function refresh() {
  const [found, checked] = await Promise.all([get("/api/samples"), get("/api/check")]);
  if (Array.isArray(found)) choose(found);
  else byId("sample-note").textContent = found.problem;
  findings(checked);
}

function choose(found) {
  const select = byId("sample");
  const before = select.selectedOptions[0]?.textContent;
  const isFirst = !samples.length;
  samples = found;
  select.replaceChildren(...found.map((one, index) => {
    const several = found.some((other) => other.path !== one.path);
    const option = element("option", several ? `${one.path}: ${one.content_type}` : one.content_type);
    option.value = index;
    option.selected = option.textContent === before;
    return option;
  }));
  // What somebody has typed stays.
  if (isFirst && found.length) take(0);
}

function take(index) {
  const one = samples[index];
  byId("path").value = one.path;
  byId("type").value = one.content_type === "*/*" ? "application/octet-stream" : one.content_type;
  byId("file").value = "";
  byId("sample-note").textContent = one.body === null ? "There is no sample of this type." : "";
  setBody(bytesOf(one.body ?? ""));
}

function setBody(bytes) {
  const area = byId("body");
  binary = null;
  try {
    area.value = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    binary = bytes;
    area.value = "";
  }
  area.disabled = binary !== null;
  area.placeholder = binary ? `${sized(binary.length)} that are not text` : "";
}

function findings(checked) {
  const box = byId("findings");
  if (!checked.findings) {
    box.replaceChildren(element("pre", checked.problem, "bad"));
    return;
  }
  const made = checked.findings.map((one) => {
    const item = element("div", undefined, `finding ${one.level}`);
    item.append(
      element("b", `${one.level} ${one.rule}`),
      element("p", `${one.where}: ${one.what}`),
      element("p", one.fix, "quiet"),
    );
    return item;
  });
  const passed = `${checked.passed.length} rules passed, ${checked.skipped.length} were skipped.`;
  box.replaceChildren(...made, element("p", passed, "quiet"));
}

// The form.

function headersOf() {
  const headers = { "Content-Type": byId("type").value };
  if (byId("accept").value) headers.Accept = byId("accept").value;
  const attributes = byId("attributes").value;
  if (attributes) headers["X-Amzn-SageMaker-Custom-Attributes"] = attributes;
  return headers;
}

async function submit(event) {
  event.preventDefault();
  running?.abort();
  const mine = new AbortController();
  running = mine;
  const began = performance.now();
  const timing = byId("timing");
  const milliseconds = () => (performance.now() - began).toFixed(0);
  byId("stop").disabled = false;
  byId("status").hidden = true;
  timing.textContent = "waiting";
  byId("view").replaceChildren();
  let reply, head;
  try {
    reply = await fetch(`/api/send?${byId("path").value}`, {
      method: "POST",
      headers: headersOf(),
      body: binary ?? byId("body").value,
      signal: mine.signal,
    });
    if (running !== mine) return;
    const first = milliseconds();
    const type = reply.headers.get("content-type") ?? "";
    byId("status").hidden = false;
    byId("status").className = `pill ${reply.ok ? "good" : "bad"}`;
    byId("status").textContent = reply.status;
    head = `${type} · head after ${first} ms`;
    timing.textContent = head;
    const bytes = await read(reply, type);
    if (running !== mine) return;
    timing.textContent = `${head}, ${sized(bytes.length)} after ${milliseconds()} ms`;
    if (!isStreamed(type)) byId("view").replaceChildren(view(bytes, type));
  } catch (error) {
    const end = head ? `${head}, broken off after ${milliseconds()} ms` : "";
    const one = reply ? await recorded(reply) : null;
    // Another request has taken its place.
    if (running !== mine) return;
    const isStopped = error.name === "AbortError";
    timing.textContent = isStopped ? "stopped" : end;
    if (!isStopped) fail(error, reply, one);
  }
  byId("stop").disabled = true;
}

async function recorded(reply) {
  return get(`/api/requests/${reply.headers.get("x-request-number")}`).catch(() => null);
}

function fail(error, reply, one) {
  byId("status").className = "pill bad";
  let what = `There is no response (${error.message}). If dev has ended, start it again.`;
  if (reply) what = `The response broke off: ${one?.problem || error.message}.`;
  // A browser drops what comes just before a connection breaks; dev has kept it.
  const bytes = bytesOf(one?.response.data ?? "");
  if (bytes.length && bytes.length === one.response.size) {
    byId("view").replaceChildren(element("pre", new TextDecoder().decode(bytes)));
  }
  byId("view").append(element("p", what, "bad"));
}

// A text is shown as it comes, whatever becomes of it in the end.
async function read(reply, type) {
  const chunks = [];
  const text = element("pre");
  const decoder = new TextDecoder();
  const isShown = /^text\/|json/.test(type);
  byId("view").replaceChildren(text);
  const reader = reply.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    if (isShown) text.textContent += decoder.decode(value, { stream: true });
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

byId("form").addEventListener("submit", submit);
byId("stop").addEventListener("click", () => running?.abort());
byId("sample").addEventListener("change", (event) => take(event.target.value));
byId("file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  setBody(new Uint8Array(await file.arrayBuffer()));
  if (file.type) byId("type").value = file.type;
});
poll();
