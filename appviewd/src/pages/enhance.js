// Makes pages better where there is a script; none of them needs it.
"use strict";

// Times: in the reader's zone, or how long ago. The exact moment stays in the title.
const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const ago = new Intl.RelativeTimeFormat(undefined, { style: "narrow" });
const DAY = 86_400;

function told(element) {
  const at = new Date(element.dateTime);
  const seconds = (at - Date.now()) / 1000;
  if ("local" in element.dataset) return zone.format(at);
  if ("short" in element.dataset || Math.abs(seconds) >= DAY) return short.format(at);
  if (seconds > -60) return ago.format(Math.round(seconds), "second");
  return seconds > -3600 ? ago.format(Math.round(seconds / 60), "minute") : ago.format(Math.round(seconds / 3600), "hour");
}

function showTimes() {
  for (const element of document.querySelectorAll("time")) {
    if (!Number.isNaN(Date.parse(element.dateTime))) element.textContent = told(element);
  }
}

// Copying: a button stands where it can work, and nowhere else.
function offerCopies() {
  if (!navigator.clipboard) return;
  for (const element of document.querySelectorAll("[data-copy]:not([data-offered])")) {
    element.dataset.offered = "";
    const text = element.textContent.trim();
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy ${element.dataset.copy}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Select it and copy by hand";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    element.after(button);
  }
}

// Live readings: the page is asked for again, and what it is about replaced, never under a reader's hands.
function isBusy() {
  return document.hidden || String(getSelection()) !== "" || document.querySelector("main details[open], main :focus") !== null;
}

let asking;

function keepAsking(every) {
  clearInterval(asking);
  if (Number(every) > 0) asking = setInterval(refresh, Number(every) * 1000);
}

async function refresh() {
  if (isBusy()) return;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const main = page.querySelector("main");
    if (main === null || isBusy()) return;
    document.querySelector("main").replaceWith(main);
    document.title = page.title;
    show();
    // What has come to its end is not asked for again; what begins to wait, less often.
    keepAsking(page.body.dataset.live);
  } catch {
    // The service cannot be reached: the page keeps its last readings.
  }
}

function show() {
  showTimes();
  offerCopies();
}

show();
setInterval(showTimes, 30_000);
keepAsking(document.body.dataset.live);
