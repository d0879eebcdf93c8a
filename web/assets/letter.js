// Opens the sealed text of this file, in the browser and nowhere else: nothing is sent, nothing is kept.
const sealed = JSON.parse(document.getElementById("sealed").textContent);
const form = document.querySelector("form");
const say = (what) => { for (const note of document.querySelectorAll("[data-note]")) note.hidden = note.dataset.note !== what; };
const bytes = (hex) => Uint8Array.from(hex.match(/../g), (pair) => Number.parseInt(pair, 16));
// The digits of other scripts count as ours; whatever else was typed between them does not.
const zeros = [0x30, 0x660, 0x6f0, 0x966, 0x9e6, 0xe50, 0xed0, 0x1040, 0x17e0, 0xff10];
const digits = (text) => [...text].map((sign) => {
  const code = sign.codePointAt(0);
  const zero = zeros.find((zero) => code >= zero && code < zero + 10);
  return zero === undefined ? "" : String(code - zero);
}).join("");
const open = async (typed) => {
  const encoded = new TextEncoder().encode(typed);
  const material = await crypto.subtle.importKey("raw", encoded, "PBKDF2", false, ["deriveKey"]);
  const stretch = { name: "PBKDF2", hash: "SHA-256", salt: bytes(sealed.salt), iterations: sealed.rounds };
  const key = await crypto.subtle.deriveKey(stretch, material, { name: "AES-GCM", length: 256 }, false, ["decrypt"]);
  const text = await crypto.subtle.decrypt({ name: "AES-GCM", iv: bytes(sealed.nonce) }, key, bytes(sealed.bytes));
  return new TextDecoder().decode(text);
};
if (globalThis.crypto === undefined || crypto.subtle === undefined) {
  form.hidden = true;
  say("old");
}
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  say("wait");
  try {
    const html = await open(digits(form.elements.digits.value));
    form.remove();
    say("");
    document.getElementById("letter").innerHTML = html;
    document.getElementById("letter").focus();
  } catch {
    say("wrong");
    form.elements.digits.select();
  }
});
