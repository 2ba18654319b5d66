// Conveniences; every page is complete without them. Runs in the head, so that the chosen theme is there before the
// first paint, and does the rest when the page is.
"use strict";
(() => {
  const root = document.documentElement;
  const THEME = "theme";

  const stored = () => {
    try {
      return localStorage.getItem(THEME);
    } catch {
      return null;
    }
  };
  const chosen = stored();
  if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

  function switchTheme() {
    const isDark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
    try {
      localStorage.setItem(THEME, root.dataset.theme);
    } catch {
      // For this page only, then.
    }
  }

  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    const label = button.querySelector("span");
    // For those who do not see the button change.
    const told = button.parentElement.querySelector("[aria-live]");
    const say = (outcome) => (label.textContent = told.textContent = outcome);
    try {
      await navigator.clipboard.writeText(source.textContent);
      say("Copied");
    } catch {
      // Without TLS there is no clipboard: what is selected can be copied by hand.
      getSelection().selectAllChildren(source);
      say("Selected");
    }
    setTimeout(() => {
      label.textContent = "Copy";
      told.textContent = "";
    }, 2000);
  }

  // As `in_words` on the server.
  function inWords(milliseconds) {
    const distance = Math.floor(Math.abs(milliseconds) / 1000);
    const future = milliseconds > 0;
    if (distance < 60) return future ? "in a moment" : "just now";
    const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.round(distance / unit));
    const [count, unit] = minutes < 60 ? [minutes, "minute"] : hours < 24 ? [hours, "hour"] : [days, "day"];
    const words = `${count} ${unit}${count === 1 ? "" : "s"}`;
    return future ? `in ${words}` : `${words} ago`;
  }

  function tellTimes() {
    for (const time of document.querySelectorAll("time[data-relative]")) {
      const words = inWords(Date.parse(time.dateTime) - Date.now());
      if (time.textContent !== words) time.textContent = words;
    }
  }

  // Takes over the list from the server now and then, unless nobody sees it, or somebody is in it with the keyboard.
  function keepLive(region, button) {
    let isOn = true;
    let isAsking = false;
    button.hidden = false;
    button.addEventListener("click", () => {
      isOn = !isOn;
      button.setAttribute("aria-pressed", isOn);
      if (isOn) update();
    });
    async function update() {
      if (isAsking || !isOn || document.hidden || region.contains(document.activeElement)) return;
      isAsking = true;
      try {
        const reply = await fetch(region.dataset.live, { cache: "no-store" });
        // Whoever is no longer signed in is shown so.
        if (reply.redirected) return location.reload();
        if (!reply.ok) return;
        const list = await reply.text();
        if (isOn && !region.contains(document.activeElement)) region.innerHTML = list;
      } catch {
        // Next time.
      } finally {
        isAsking = false;
      }
    }
    setInterval(update, 10000);
    addEventListener("visibilitychange", update);
  }

  // Goes on with a search that has found nothing so far.
  async function searchOn(region) {
    for (;;) {
      const link = region.querySelector("[data-search-on]");
      if (!link || region.querySelector("table") || region.contains(document.activeElement)) return;
      try {
        const reply = await fetch(`${link.href}&part=list`, { cache: "no-store" });
        if (reply.redirected) return location.reload();
        if (!reply.ok) return;
        region.innerHTML = await reply.text();
      } catch {
        return;
      }
    }
  }

  addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll("[data-live-switch]")) {
      keepLive(document.getElementById(button.dataset.liveSwitch), button);
    }
    for (const region of document.querySelectorAll("[data-searched]")) searchOn(region);
    for (const button of document.querySelectorAll("[data-copy]")) {
      button.hidden = false;
      button.addEventListener("click", () => copy(button));
    }
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      button.hidden = false;
      button.addEventListener("click", switchTheme);
    }
    for (const time of document.querySelectorAll("time[data-relative]")) {
      time.title = new Date(time.dateTime).toLocaleString();
    }
    setInterval(tellTimes, 30000);
  });

  // What cannot be taken back is asked once more; and a change that is on its way is not sent twice, unless it has not
  // arrived after a while: somebody may have stopped it.
  addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm;
    if (question && !confirm(question)) {
      event.preventDefault();
      return;
    }
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    setTimeout(() => delete form.dataset.sent, 10000);
  });
  addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });
})();
