// Small helps; every page works without them.

// After an error, the reader starts at it.
document.querySelector("[data-focus]")?.focus();

// Nobody loses a form: what is typed is kept by the office's node a few seconds later, and asked about by a stray click.
const words = document.getElementById("main")?.dataset ?? {};
for (const form of document.querySelectorAll("form[data-keep]")) {
  let changed = false;
  let unkept = false;
  let timer;
  const mark = document.createElement("p");
  mark.className = "hint";
  mark.setAttribute("role", "status");
  const keep = async () => {
    clearTimeout(timer);
    if (!unkept) return;
    unkept = false;
    const body = new URLSearchParams([...new FormData(form), ["draft:path", new URL(form.action).pathname]]);
    const answer = await fetch("/drafts", { method: "POST", body, keepalive: true }).catch(() => null);
    mark.textContent = answer?.status === 204
      ? `${words.kept} ${new Date().toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit" })}`
      : words.notKept;
    unkept ||= answer?.status !== 204;
    form.append(mark);
  };
  form.addEventListener("input", () => {
    changed = unkept = true;
    clearTimeout(timer);
    timer = setTimeout(keep, 4000);
  });
  form.addEventListener("submit", () => { changed = unkept = false; clearTimeout(timer); });
  addEventListener("visibilitychange", () => { if (document.hidden) keep(); });
  addEventListener("beforeunload", (event) => { if (changed) event.preventDefault(); });
}

// Three times Shift: sign out at once.
let presses = [];
addEventListener("keyup", (event) => {
  presses = event.key === "Shift" ? [...presses, event.timeStamp].slice(-3) : [];
  if (presses.length === 3 && presses[2] - presses[0] < 1200) {
    document.body.hidden = true;
    document.querySelector("[data-lock]")?.form.submit();
  }
});

// A page that comes back from the browser's memory is asked for again.
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
