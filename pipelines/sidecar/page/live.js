// The operators' live page. The feed says that something has changed, the read API says what; both answer to the key that
// was typed in. What has not changed is answered by the browser's own store (ETag), so looking again costs next to nothing.
"use strict";

const KEY = "psp-live-key";
const PROTOCOL = "psp.v1";
const EVENTS = ["freshness", "sync_started", "sync_completed", "sync_failed", "reconciliation_completed", "alert"];
const FIRST_PAUSE = 500, LONGEST_PAUSE = 15000; // between tries to connect, in ms
const PING_EVERY = 20000, SILENCE = 45000; // a socket that answers no ping is given up
const LOOK_EVERY = 30000; // time alone changes "the last hour" and "is stale"
const SETTLE = 250; // a run of the models announces several things at once
const ROWS = 25, BREAKS = 8, KEPT_EVENTS = 12;

const $ = (id) => document.getElementById(id);
let socket = null, pause = FIRST_PAUSE, timer = null, heardAt = 0, looking = null, again = false;
let known = new Set();

function cell(text, className, title) {
  const made = document.createElement("td");
  made.textContent = text ?? "";
  if (className) made.className = className;
  if (title) made.title = title;
  return made;
}

function row(...cells) {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
}

function fill(id, rows, nothing) {
  const columns = $(id).closest("table").querySelectorAll("th").length || 3;
  if (!rows.length) {
    const empty = cell(nothing, "soft");
    empty.colSpan = columns;
    rows = [row(empty)];
  }
  $(id).replaceChildren(...rows);
}

// Exact: the digits are those of the answer, only grouped.
function money(amount, currency) {
  if (amount === null || amount === undefined) return "";
  const [whole, part] = String(amount).split(".");
  return `${whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",")}${part ? "." + part : ""}${currency ? " " + currency : ""}`;
}

function time(instant) {
  if (!instant) return "never";
  const at = new Date(instant);
  const parts = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
  const today = at.toDateString() === new Date().toDateString();
  return at.toLocaleString([], today ? parts : { day: "2-digit", month: "short", ...parts });
}

function ago(seconds) {
  if (seconds === null || seconds === undefined) return "unknown";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

const WHAT = {
  discrepancy_amount: "amount differs", discrepancy_status: "status differs",
  missing_vima: "missing in Vima", missing_payshack: "missing in PayShack",
};
const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)}\u00a0%`);
const tone = (status) => ({ success: "good", failed: "bad", tampered: "bad", chargeback: "bad", pending: "warn" })[status] ?? "";

async function ask(path, options = {}) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY)}` };
  const answer = await fetch(`/api/v1${path}`, { cache: "no-cache", headers, ...options });
  if (answer.status === 401 || answer.status === 403) {
    const { error } = await answer.json();
    throw Object.assign(new Error(error.message), { refused: true });
  }
  if (!answer.ok) throw new Error(`${answer.status} for ${path}`);
  return answer.json();
}

function showState(state, text) {
  $("state").dataset.state = state;
  $("state").textContent = text;
}

function showFreshness(meta) {
  $("asof").dataset.stale = meta.stale;
  $("asof").textContent = meta.as_of ? `complete to ${time(meta.as_of)}${meta.stale ? ", too long ago" : ""}` : "no data yet";
  $("asof").title = meta.as_of ?? "";
}

function showSources({ sources }) {
  const states = { failed: "bad", running: "good" };
  fill("sources", sources.map((one) => row(
    cell(`${one.source} ${one.flow}`),
    cell(one.status, states[one.status], one.error_message),
    cell(ago(one.lag_seconds), "number", one.watermark),
    cell(time(one.last_successful_sync), "number roomy", one.last_successful_sync),
  )), "No source has been loaded yet.");
}

function showRecent({ total, projects }) {
  $("recent-total").textContent = total.count ? `${percent(total.success_rate)} of ${total.count}` : "";
  fill("recent", projects.map((one) => {
    const bar = cell();
    const line = document.createElement("span"), part = document.createElement("i");
    line.className = "bar";
    part.style.width = `${100 * (one.success_rate ?? 0)}%`;
    line.append(part);
    bar.append(line);
    bar.width = "40%";
    return row(cell(one.project), bar, cell(percent(one.success_rate), "number"),
      cell(`${one.count} created, ${one.pending} open`, "number soft roomy"));
  }), "No payment was created in the last hour.");
}

function showBreaks({ data, meta }) {
  $("breaks-total").textContent = String(meta.total);
  fill("breaks", data.map((one) => row(
    cell(one.project),
    cell(`${WHAT[one.outcome]}${one.severity ? ", " + one.severity : ""}`,
      one.severity === "critical" ? "bad" : "", (one.reasons ?? []).join(", ")),
    cell(money(one.exposure, one.currency), "number long"),
  )), "Nothing disagrees.");
}

function showTransactions({ data }) {
  const first = known.size === 0;
  fill("transactions", data.map((one) => {
    const made = row(
      cell(time(one.created_at), "", one.created_at), cell(one.project ?? "unknown"), cell(one.source, "roomy"),
      cell(one.flow, "roomy"), cell(one.status, tone(one.status), one.status_raw), cell(one.payment_method, "roomy"),
      cell(money(one.amount, one.currency), "number"), cell(one.order_key, "roomy long"),
    );
    made.dataset.id = one.transaction_id;
    if (!first && !known.has(`${one.transaction_id} ${one.status}`)) made.className = "new";
    return made;
  }), "No payment yet.");
  known = new Set(data.map((one) => `${one.transaction_id} ${one.status}`));
}

function tell(text, className) {
  const line = document.createElement("li");
  line.className = className ?? "";
  line.textContent = `${time(Date.now())}  ${text}`;
  const list = $("events");
  if (!list.dataset.told) list.replaceChildren();
  list.dataset.told = "yes";
  list.prepend(line);
  while (list.children.length > KEPT_EVENTS) list.lastChild.remove();
}

const TOLD = {
  sync_started: (data) => [`${data.source}: loading`],
  sync_completed: (data) => [`${data.source}: ${data.rows_new} new of ${data.rows_read} read`, "good"],
  sync_failed: (data) => [`${data.source}: load failed. ${data.error ?? ""}`, "bad"],
  reconciliation_completed: (data) =>
    [`${data.project} ${data.flow}: ${data.changed} reconciled, ${data.discrepancies + data.missing} of them disagree`],
  alert: (data) => [`${data.project} ${data.flow}: ${data.rows} critical, ${money(data.exposure, data.currency)} at stake`, "bad"],
};

// One look at a time; what is announced during a look is seen by the next one.
async function look() {
  if (looking) {
    again = true;
    return;
  }
  looking = true;
  try {
    const [sources, recent, breaks, transactions] = await Promise.all([
      ask("/sync/status"), ask("/metrics/recent?minutes=60"),
      ask(`/reconciliation/discrepancies?sort_by=exposure&limit=${BREAKS}`),
      ask(`/transactions?limit=${ROWS}`),
    ]);
    showFreshness(transactions.meta);
    showSources(sources.data);
    showRecent(recent.data);
    showBreaks(breaks);
    showTransactions(transactions);
  } catch (error) {
    if (error.refused) leave(error.message);
    else tell(`The numbers cannot be read just now (${error.message}).`, "warn");
  } finally {
    looking = null;
    if (again) {
      again = false;
      lookSoon();
    }
  }
}

function lookSoon() {
  clearTimeout(timer);
  timer = setTimeout(look, SETTLE);
}

function hear(message) {
  heardAt = Date.now();
  if (message.type === "connected") {
    pause = FIRST_PAUSE;
    showState("live", "live");
    socket.send(JSON.stringify({ type: "subscribe", events: EVENTS }));
    lookSoon();
  } else if (message.type === "freshness") {
    lookSoon();
  } else if (TOLD[message.type]) {
    tell(...TOLD[message.type](message.data));
    lookSoon();
  }
}

async function connect() {
  if (!sessionStorage.getItem(KEY) || socket) return;
  showState("waiting", "connecting");
  try {
    const { data } = await ask("/ws/ticket", { method: "POST" });
    const where = `${location.protocol.replace("http", "ws")}//${location.host}/ws/updates`;
    const made = new WebSocket(where, [PROTOCOL, `ticket.${data.ticket}`]);
    socket = made;
    heardAt = Date.now();
    made.onmessage = (event) => hear(JSON.parse(event.data));
    made.onclose = () => {
      if (socket === made) retry();
    };
  } catch (error) {
    if (error.refused) leave(error.message);
    else retry();
  }
}

function retry() {
  socket = null;
  if (!sessionStorage.getItem(KEY)) return;
  const wait = pause * (0.75 + Math.random() / 2);
  pause = Math.min(pause * 2, LONGEST_PAUSE);
  showState("off", `not connected, next try in ${Math.ceil(wait / 1000)} s`);
  setTimeout(connect, wait);
}

function keepAlive() {
  if (!socket || socket.readyState !== WebSocket.OPEN) return;
  if (Date.now() - heardAt > SILENCE) socket.close();
  else socket.send(JSON.stringify({ type: "ping" }));
}

function enter() {
  const inside = Boolean(sessionStorage.getItem(KEY));
  $("door").hidden = inside;
  $("leave").hidden = !inside;
  document.querySelectorAll("[data-part]").forEach((part) => { part.hidden = !inside; });
  if (inside) {
    look();
    connect();
  } else {
    showState("off", "not connected");
  }
}

function leave(reason) {
  sessionStorage.removeItem(KEY);
  const old = socket;
  socket = null;
  if (old) old.close();
  known = new Set();
  $("asof").textContent = "";
  $("refusal").textContent = reason ?? "";
  enter();
}

$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $("key").value.trim());
  $("key").value = "";
  $("refusal").textContent = "";
  pause = FIRST_PAUSE;
  enter();
});
$("leave").addEventListener("click", () => leave());
addEventListener("online", connect);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && sessionStorage.getItem(KEY)) lookSoon();
});
setInterval(keepAlive, PING_EVERY);
setInterval(() => { if (sessionStorage.getItem(KEY) && !document.hidden) look(); }, LOOK_EVERY);
enter();
