// What pages do beyond a plain page: the overview follows the box, and the live tail fills. Texts from outside become text
// nodes, never markup; the overview's fragment is markup that the box itself escaped.
"use strict";

(() => {
  const MOST_ROWS = 500;
  const at = (id) => document.getElementById(id);

  const all = (root, selector) => [...(root.matches?.(selector) ? [root] : []), ...root.querySelectorAll(selector)];

  function parsed(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  }

  // Keeps what a person opened, where the focus is, and how far tables are moved, while a part is renewed: what is in it, or, where
  // it is a piece, itself.
  function renew(part, fresh) {
    const piece = fresh.firstElementChild?.dataset.part === part.dataset.part && part.dataset.part ? fresh.firstElementChild : null;
    const old = all(part, "details");
    all(fresh, "details").forEach((details, index) => {
      details.open = (details.id ? old.find((one) => one.id === details.id) : old[index])?.open ?? false;
    });
    const key = (element) => element.id || element.getAttribute("href") || element.getAttribute("aria-label") ||
      (element.matches("summary") ? element.closest("details").id + " summary" : "");
    const inside = part.contains(document.activeElement) ? key(document.activeElement) : "";
    const moved = new Map(all(part, "[role=region]").map((one) => [key(one), [one.scrollLeft, one.scrollTop]]));
    if (piece) part.replaceWith(piece);
    else part.replaceChildren(fresh);
    const now = piece ?? part;
    for (const one of all(now, "[role=region]")) {
      [one.scrollLeft, one.scrollTop] = moved.get(key(one)) ?? [0, 0];
    }
    if (inside) {
      const again = all(now, "a, summary, [tabindex]").find((one) => key(one) === inside);
      again?.focus({ preventScroll: true });
    }
  }

  function isRead(part) {
    const selection = getSelection();
    return selection && !selection.isCollapsed && part.contains(selection.anchorNode);
  }

  function overview(part) {
    const lost = at("lost"), phase = part.dataset.phase;
    let sentence = at("verdict")?.textContent.trim();
    // What was pushed and is not shown yet: all of it, and then pieces by their names.
    let whole = "";
    const pieces = new Map();
    const draw = () => {
      // Who marks a number wants to copy it: what came meanwhile is shown with a later push.
      if (whole) {
        if (isRead(part)) return;
        renew(part, parsed(whole));
        whole = "";
      }
      for (const [name, html] of pieces) {
        const old = [...part.querySelectorAll("[data-part]")].find((one) => one.dataset.part === name);
        if (old && isRead(old)) continue;
        if (old) renew(old, parsed(html));
        pieces.delete(name);
      }
    };
    const events = new EventSource(part.dataset.events);
    events.addEventListener(part.dataset.name ?? "overview", (event) => {
      lost.hidden = true;
      const said = part.dataset.name ? { whole: event.data } : JSON.parse(event.data);
      if (said.whole) {
        whole = said.whole;
        pieces.clear();
      }
      for (const html of said.parts ?? []) pieces.set(parsed(html).firstElementChild.dataset.part, html);
      draw();
      // What can be done is another thing now: the forms around the part come anew.
      const next = part.querySelector("[data-phase]")?.dataset.phase;
      if (phase && next && next !== phase) location.replace(part.dataset.again);
      const now = at("verdict")?.textContent.trim();
      if (now !== sentence) {
        sentence = now;
        at("said").textContent = now;
      }
    });
    events.addEventListener("error", () => {
      const words = events.readyState === EventSource.CLOSED
        ? "The box sends nothing more to this page: load it again."
        : "The box does not answer; this page shows how it was. It is tried again.";
      if (lost.hidden || lost.textContent !== words) lost.textContent = words;
      lost.hidden = false;
    });
  }

  // The newest source of a chain of boxes is this box's own.
  function sourceOf(event) {
    const names = Object.keys(event).filter((name) => /^sapphire(_relay(_\d)?)?$/.test(name)).sort();
    return event[names.at(-1)]?.source ?? "";
  }

  function wordsOf(event) {
    const said = typeof event.message === "string" ? event.message : "";
    const host = event.host?.name ? `${event.host.name} ` : "";
    return host + (said || JSON.stringify(event));
  }

  function row(text) {
    const fresh = at("live-row").content.cloneNode(true);
    let event = null;
    try {
      event = JSON.parse(text);
    } catch {
      event = { message: text };
    }
    const time = fresh.querySelector("time");
    const when = typeof event["@timestamp"] === "string" ? event["@timestamp"] : "";
    time.dateTime = when;
    time.textContent = when.slice(11, 19);
    fresh.querySelector("strong").textContent = sourceOf(event);
    fresh.querySelector("summary span").textContent = wordsOf(event).slice(0, 2000);
    // The whole event is written out only when somebody opens it.
    fresh.querySelector("details").addEventListener("toggle", (toggle) => {
      const whole = toggle.target.querySelector("pre");
      if (toggle.target.open && !whole.textContent) whole.textContent = JSON.stringify(event, null, 2);
    });
    return fresh;
  }

  function live(part) {
    const list = at("live-list"), status = at("live-status"), pause = at("live-pause");
    let seen = 0, missed = 0, held = [], isPaused = false, isDue = false, refused = "", lost = "";
    const say = () => {
      const parts = [];
      if (refused || lost) parts.push(refused || lost);
      if (seen) parts.push(`Events so far: ${seen.toLocaleString("en")}.`);
      else if (!refused && !lost) parts.push("Waiting for the first event.");
      if (missed) parts.push(`${missed.toLocaleString("en")} batches came faster than they could be shown.`);
      if (isPaused) parts.push(`Paused; ${held.length} wait, 500 at most.`);
      const words = parts.join(" ");
      if (status.textContent !== words) status.textContent = words;
    };
    const draw = () => {
      isDue = false;
      if (!isPaused && held.length) {
        const fresh = document.createDocumentFragment();
        held.reverse().forEach((text) => fresh.append(row(text)));
        held = [];
        list.prepend(fresh);
        while (list.children.length > MOST_ROWS) list.lastElementChild.remove();
      }
    };
    const events = new EventSource(part.dataset.events);
    events.addEventListener("open", () => { lost = ""; say(); });
    events.addEventListener("event", (event) => {
      seen += 1;
      if (seen === 1) say();
      held.push(event.data);
      if (held.length > MOST_ROWS) held.shift();
      if (!isDue) {
        isDue = true;
        requestAnimationFrame(draw);
      }
    });
    events.addEventListener("missed", (event) => { missed += Number(event.data) || 0; });
    events.addEventListener("refused", (event) => {
      refused = event.data;
      events.close();
      say();
    });
    events.addEventListener("error", () => {
      if (refused) return;
      lost = events.readyState === EventSource.CLOSED
        ? "The box sends nothing more to this page: load it again."
        : "The box does not answer. It is tried again.";
      say();
    });
    // A screen reader must not speak with every event.
    setInterval(say, 5000);
    pause.addEventListener("click", () => {
      isPaused = !isPaused;
      pause.setAttribute("aria-pressed", String(isPaused));
      draw();
      say();
    });
    at("live-clear").addEventListener("click", () => {
      list.replaceChildren();
      held = [];
      say();
    });
    part.hidden = false;
    at("live-head").hidden = false;
  }

  if (at("changing")) overview(at("changing"));
  if (at("live")) live(at("live"));
})();
