// What the console does in the browser beside htmx: times, theme, pictures, questions, toasts,
// and the little lamp that says whether the page is live.
"use strict";

const POLL_MS = 10_000; // without a stream, the page asks by itself this often
const TOAST_MS = 8_000;

// Times. The page carries UTC; here it becomes the reader's own time.
const full = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium" });
const day = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short" });
const shortDay = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const clock = new Intl.DateTimeFormat("sv-SE", { timeStyle: "medium" });

function relative(at, now) {
  const s = Math.round((now - at) / 1000);
  if (s < -90) return `in ${Math.round(-s / 60)} min`;
  if (s < -1) return `in ${-s} s`;
  if (s < 5) return "now";
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 43_200) return `${Math.floor(s / 3600)} h ago`;
  return day.format(at) === day.format(now) ? clock.format(at) : day.format(at);
}

function tellTimes() {
  const now = new Date();
  const today = day.format(now);
  for (const element of document.querySelectorAll("time[data-form]")) {
    const at = new Date(element.dateTime);
    const form = element.dataset.form;
    let text = full.format(at);
    if (form === "relative") text = relative(at, now);
    if (form === "due") text = at > now ? relative(at, now) : "now";
    if (form === "date") text = day.format(at);
    if (form === "clock") text = (day.format(at) === today ? "" : `${shortDay.format(at)} `) + clock.format(at);
    if (element.textContent !== text) element.textContent = text;
  }
}

function tellZone() {
  for (const element of document.querySelectorAll("[data-zone]")) {
    element.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
  }
}

// Theme.
function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch { /* it lasts as long as this page */ }
}

// Pictures.
const viewer = document.getElementById("viewer");
let shown = 0;
let group = "";

function pictures() {
  return [...document.querySelectorAll(`[data-group="${group}"]`)];
}

function open(button) {
  group = button.dataset.group;
  show(pictures().indexOf(button));
}

function show(index) {
  const all = pictures();
  if (!all.length) return;
  shown = (index + all.length) % all.length;
  const { picture, caption } = all[shown].dataset;
  const image = viewer.querySelector("img");
  image.src = picture;
  image.alt = caption;
  viewer.querySelector("[data-caption]").textContent = caption;
  viewer.querySelector("[data-position]").textContent = `${shown + 1} of ${all.length}`;
  viewer.classList.toggle("is-single", all.length < 2);
  if (!viewer.open) viewer.showModal();
}

viewer?.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step) show(shown + step);
});

// Questions before what cannot be undone.
document.addEventListener("htmx:confirm", (event) => {
  const { ctx, issueRequest, dropRequest } = event.detail;
  const ask = document.getElementById("ask");
  if (!ask || !ctx.confirm) return;
  event.preventDefault();
  document.getElementById("ask-words").textContent = ctx.confirm;
  ask.returnValue = "no";
  ask.addEventListener("close", () => (ask.returnValue === "yes" ? issueRequest() : dropRequest()), { once: true });
  ask.showModal();
});

// Copying. Browsers allow it over https and on localhost; elsewhere the text is selected.
function copy(button) {
  if (!navigator.clipboard) {
    getSelection().selectAllChildren(button.previousElementSibling);
    return;
  }
  navigator.clipboard.writeText(button.dataset.copy);
  button.dataset.copied = "";
  setTimeout(() => delete button.dataset.copied, 1200);
}

// Toasts.
function letToastsGo() {
  for (const toast of document.querySelectorAll("#toasts .is-success:not([data-going])")) {
    toast.dataset.going = "";
    setTimeout(() => toast.remove(), TOAST_MS);
  }
}

// Whether the page is live.
const lamp = document.getElementById("live");

function light(state, words) {
  if (!lamp) return;
  lamp.dataset.state = state;
  lamp.querySelector("span").textContent = words;
}

document.addEventListener("htmx:sse:after:connection", () => light("live", "Live"));
document.addEventListener("htmx:sse:error", () => light("away", "Reconnecting"));
document.addEventListener("htmx:sse:close", () => light("away", "Not live"));

setInterval(() => {
  if (!lamp || lamp.dataset.state === "live" || document.hidden) return;
  if (lamp.dataset.state === "waiting") light("polling", `Every ${POLL_MS / 1000} s`);
  document.body.dispatchEvent(new CustomEvent("poll"));
}, POLL_MS);

document.addEventListener("click", (event) => {
  const at = (selector) => event.target.closest(selector);
  if (at("[data-picture]")) open(at("[data-picture]"));
  else if (at("[data-step]")) show(shown + Number(at("[data-step]").dataset.step));
  else if (event.target === viewer) viewer.close();
  else if (at("[data-theme-switch]")) switchTheme();
  else if (at("[data-dismiss]")) at(".toast").remove();
  else if (at("[data-copy]")) {
    copy(at("[data-copy]"));
  }
});

for (const name of ["htmx:after:swap", "htmx:after:settle"]) {
  document.addEventListener(name, () => {
    tellTimes();
    letToastsGo();
  });
}
setInterval(tellTimes, 1000);
tellZone();
tellTimes();
letToastsGo();
