// Small helps; every page works without them.

// After an error, the reader starts at it.
document.querySelector("[data-focus]")?.focus();

// Nobody loses a form: what is typed is kept by the office's node a few seconds later, and asked about by a stray click.
const words = document.getElementById("main")?.dataset ?? {};
const keepers = [];
let leaving = false;
for (const form of document.querySelectorAll("form[data-keep]")) {
  const path = new URL(form.action).pathname;
  const page = crypto.randomUUID();
  let changed = false;
  let unkept = false;
  let keeping = null;
  let timer;
  const mark = document.createElement("p");
  mark.className = "hint";
  mark.setAttribute("role", "status");
  const send = async () => {
    unkept = false;
    const body = new URLSearchParams([...new FormData(form), ["draft:path", path], ["draft:page", page]]);
    const answer = await fetch("/drafts", { method: "POST", body, keepalive: document.hidden }).catch(() => null);
    unkept ||= answer?.status !== 204;
    mark.textContent = answer?.status === 204
      ? `${words.kept} ${new Date().toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit" })}`
      : words.notKept;
    form.append(mark);
    keeping = null;
  };
  const keep = () => {
    clearTimeout(timer);
    // What is sent says which draft it was.
    form.action = `${path}?draft=${page}`;
    if (unkept) keeping ??= send();
    return keeping;
  };
  keepers.push(keep);
  form.addEventListener("input", () => {
    changed = unkept = true;
    clearTimeout(timer);
    timer = setTimeout(keep, 4000);
  });
  form.addEventListener("submit", (event) => {
    changed = unkept = false;
    clearTimeout(timer);
    // A draft that is on its way must not arrive after the form.
    if (keeping) {
      event.preventDefault();
      keeping.finally(() => form.requestSubmit(event.submitter));
    }
  });
  addEventListener("visibilitychange", () => { if (document.hidden) keep(); });
  addEventListener("beforeunload", (event) => { if (changed && !leaving) event.preventDefault(); });
}

// Who signs out, locks or hands the computer to a colleague takes nothing along: what is typed is kept first.
for (const form of document.querySelectorAll("form[data-leave]")) {
  form.addEventListener("submit", (event) => {
    if (leaving) return;
    event.preventDefault();
    leaving = true;
    Promise.allSettled(keepers.map((keep) => keep())).then(() => form.requestSubmit(event.submitter));
  });
}

// Three times Shift: sign out at once.
let presses = [];
addEventListener("keyup", (event) => {
  presses = event.key === "Shift" ? [...presses, event.timeStamp].slice(-3) : [];
  if (presses.length === 3 && presses[2] - presses[0] < 1200) {
    document.body.hidden = true;
    leaving = true;
    for (const keep of keepers) keep();
    const form = document.querySelector("[data-lock]")?.form;
    if (!form) return;
    form.append(Object.assign(document.createElement("input"), { type: "hidden", name: "then", value: "/away" }));
    form.submit();
  }
});

// What waits is counted beside the navigation while a page stays open; who only looks at it is not at work by that.
const said = document.querySelector("[data-pulse-said]");
const pulse = async () => {
  if (document.hidden) return;
  const answer = await fetch("/pulse").catch(() => null);
  if (answer?.status !== 200) return;
  const { counts, words } = await answer.json();
  for (const link of document.querySelectorAll("[data-pulse]")) {
    const count = counts[link.dataset.pulse];
    let badge = link.querySelector(".badge");
    badge ??= link.appendChild(Object.assign(document.createElement("span"), { className: "badge", ariaHidden: "true" }));
    badge.textContent = count || "";
  }
  if (said.dataset.words !== undefined && said.dataset.words !== words) said.textContent = words;
  said.dataset.words = words;
};
if (said) {
  pulse();
  setInterval(pulse, 30000);
}

// What goes to a printer leaves a trace in the log.
addEventListener("beforeprint", () => {
  if (document.querySelector("[data-lock]")) navigator.sendBeacon("/printed", new URLSearchParams({ path: location.pathname }));
});

// A page that comes back from the browser's memory is asked for again.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// A page that somebody may not be able to read is read to them, where the browser has a voice for the language.
for (const block of document.querySelectorAll("[data-read]")) {
  if (!("speechSynthesis" in window)) break;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "second noprint";
  button.textContent = block.dataset.read;
  button.addEventListener("click", () => {
    if (speechSynthesis.speaking) return speechSynthesis.cancel();
    const words = block.cloneNode(true);
    for (const part of words.querySelectorAll(".noprint")) part.remove();
    const voice = new SpeechSynthesisUtterance(words.textContent);
    voice.lang = document.documentElement.lang;
    speechSynthesis.speak(voice);
  });
  (block.querySelector(".bar") ?? block).prepend(button);
}
