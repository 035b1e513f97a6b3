// Signs in, keeps the session of this tab, and shows today's totals and the latest pay-ins.
"use strict";

const KEY = "payshack.session";
const REFRESH_MS = 15000;
const api = document.body.dataset.api;
const element = (id) => document.getElementById(id);
let timer = null;
let challenge = null;

async function signIn(event) {
  event.preventDefault();
  const button = event.submitter;
  const error = element("sign-in-error");
  error.textContent = "";
  if (button) button.disabled = true;
  try {
    const answer = await fetch(`${api}/indigate-user-svc/api/v1/auth/login`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ email: element("email").value.trim(), password: element("password").value }),
    });
    const body = await answer.json();
    // The service says no with HTTP 200.
    if (!body.success) throw new Error(body.message || "Sign in failed");
    element("password").value = "";
    if (body.data.otpRequired) return askForCode(body.data);
    await enter(body.data);
  } catch (problem) {
    error.textContent = problem instanceof TypeError ? "The service does not answer." : problem.message;
    element("email").focus();
  } finally {
    if (button) button.disabled = false;
  }
}

async function enter(data) {
  sessionStorage.setItem(KEY, JSON.stringify({ token: data.token, clientId: data.clientId }));
  await showPortal();
}

function askForCode(data) {
  challenge = data.challenge;
  element("sign-in-form").hidden = true;
  element("code-form").hidden = false;
  element("code-hint").textContent = `Nobody has a phone here: the code is ${data.sandboxCode}.`;
  element("otp").focus();
}

async function confirmCode(event) {
  event.preventDefault();
  try {
    const answer = await fetch(`${api}/indigate-user-svc/api/v1/auth/verify-otp`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ challenge, otp: element("otp").value.trim() }),
    });
    const body = await answer.json();
    if (!body.success) throw new Error(body.message || "Sign in failed");
    await enter(body.data);
  } catch (problem) {
    // A code is good for one try.
    signOut();
    element("sign-in-error").textContent = problem instanceof TypeError ? "The service does not answer." : problem.message;
  }
}

function signOut() {
  clearInterval(timer);
  sessionStorage.removeItem(KEY);
  element("portal").hidden = true;
  element("sign-in").hidden = false;
  element("sign-in-form").hidden = false;
  element("code-form").hidden = true;
  element("email").focus();
}

async function refresh() {
  const session = JSON.parse(sessionStorage.getItem(KEY) || "null");
  if (!session) return signOut();
  const answer = await fetch("/portal/overview", {
    headers: { Authorization: `Bearer ${session.token}`, "reseller-id": session.clientId },
  });
  if (!answer.ok) return signOut();
  show(await answer.json());
}

async function showPortal() {
  element("sign-in").hidden = true;
  element("portal").hidden = false;
  await refresh();
  clearInterval(timer);
  timer = setInterval(() => refresh().catch(() => { element("as-of").textContent = "The service does not answer."; }),
    REFRESH_MS);
}

const two = new Intl.NumberFormat("en-IN", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const plain = new Intl.NumberFormat("en-IN");
const label = (name) => name.replace(/([a-z])([A-Z])/g, "$1 $2").replace(/_/g, " ").toLowerCase();
const moment = (iso) => (iso ? iso.replace("T", " ").slice(0, 19) : "");
const number = (name, value) => (/amount|volume|balance|commission/i.test(name) ? `₹\u00a0${two.format(value)}` : plain.format(value));

function show(data) {
  element("reseller").textContent = data.reseller;
  element("as-of").textContent = `As of ${moment(data.asOf)} UTC · ${plain.format(data.payins)} pay-ins in all`;
  const numbers = Object.entries(data.totals).filter(([, value]) => value !== null && value !== "" && Number.isFinite(Number(value)));
  element("totals").replaceChildren(...numbers.map(([name, value]) => {
    const box = document.createElement("div");
    box.append(cell(label(name), "", "dt"), cell(number(name, Number(value)), "", "dd"));
    return box;
  }));
  element("rows").replaceChildren(...data.latest.map((row) => {
    const line = document.createElement("tr");
    const status = cell("", "");
    const pill = cell(row.txnStatus ?? "", `pill ${String(row.txnStatus ?? "").toLowerCase().replace(/\W+/g, "-")}`, "span");
    status.append(pill);
    line.append(cell(moment(row.createdAt)), cell(row.txnId, "code"), cell(row.orderId, "code"), cell(row.clientName),
      cell(row.transactionType), cell(row.amount == null ? "" : two.format(Number(row.amount)), "number"), status);
    return line;
  }));
}

function cell(text, className = "", tag = "td") {
  const node = document.createElement(tag);
  node.textContent = text ?? "";
  if (className) node.className = className;
  return node;
}

element("sign-in-form").addEventListener("submit", signIn);
element("code-form").addEventListener("submit", confirmCode);
element("sign-out").addEventListener("click", signOut);
if (sessionStorage.getItem(KEY)) showPortal().catch(signOut);
