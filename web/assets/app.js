// Small helps; every page works without them.

// After an error, the reader starts at it.
document.querySelector("[data-focus]")?.focus();

// Nobody loses a form by a stray click.
for (const form of document.querySelectorAll("form[data-keep]")) {
  let changed = false;
  form.addEventListener("input", () => { changed = true; });
  form.addEventListener("submit", () => { changed = false; });
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
