// Blind listening: play, write the words, score from 1 to 5; names and metrics come at the end.
// Options: title, key (unique, names the stored answers), tasks [text], recordings [{transcript,
// clips [{label, src, heard, pesq, estoi}]}]. The first clip is heard first, the last one last, the
// others in a hidden order. Everything stays in this browser; nothing is fetched before a tap.

const SCORES = ["bad", "poor", "fair", "good", "excellent"]; // ITU-T P.800, absolute category rating
const ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
  + "fifteen sixteen seventeen eighteen nineteen").split(" ");
const TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split(" ");
const SIGNS = { "*": " star ", "#": " pound ", "&": " and ", "%": " percent ", "@": " at " };
const SHORT = { "won't": "will not", "can't": "can not", cannot: "can not", "let's": "let us", "n't": " not",
  "'re": " are", "'ve": " have", "'ll": " will", "'m": " am" };

function spell(number) {
  for (const [size, name] of [[1000, "thousand"], [100, "hundred"]]) {
    if (number < size) continue;
    const rest = number % size;
    return `${spell(Math.floor(number / size))} ${name}${rest ? ` ${spell(rest)}` : ""}`;
  }
  if (number < 20) return ONES[number];
  const tens = TENS[Math.floor(number / 10) - 2];
  return number % 10 ? `${tens} ${ONES[number % 10]}` : tens;
}

// The words of an English text: lower case, no punctuation, digits and short forms spelled.
export function normalise(text) {
  text = text.normalize("NFKC").toLowerCase().replaceAll("’", "'");
  text = text.replace(/(\d),(?=\d{3}(?![\p{L}\p{N}_]))/gu, "$1");
  for (const [sign, word] of Object.entries(SIGNS)) text = text.replaceAll(sign, word);
  for (const [short, full] of Object.entries(SHORT)) {
    text = text.replace(new RegExp(`${short}(?![\\p{L}\\p{N}_])`, "gu"), full);
  }
  text = text.replace(/\d+/g, (digits) => {
    const each = digits.length > 6 || (digits.length > 1 && digits[0] === "0");
    return ` ${each ? [...digits].map((digit) => ONES[digit]).join(" ") : spell(Number(digits))} `;
  });
  return text.match(/[\p{L}\p{N}]+(?:'[\p{L}\p{N}]+)*/gu) ?? [];
}

const before = (a, b) => { // tuples in order, as Python has it
  const i = a.findIndex((value, index) => value !== b[index]);
  return i >= 0 && a[i] < b[i];
};

// Errors of `heard` against `text`: Levenshtein's distance on words.
export function wordErrors(text, heard) {
  const said = normalise(text), got = normalise(heard);
  let row = [0, ...got].map((_, j) => [j, 0, 0, j]); // errors, substitutions, deletions, insertions
  said.forEach((word, index) => {
    const next = [[index + 1, 0, index + 1, 0]];
    got.forEach((other, j) => {
      const wrong = Number(word !== other), [a, b, c] = [row[j], row[j + 1], next[j]];
      const options = [[a[0] + wrong, a[1] + wrong, a[2], a[3]], [b[0] + 1, b[1], b[2] + 1, b[3]],
        [c[0] + 1, c[1], c[2], c[3] + 1]];
      next.push(options.reduce((best, option) => (before(option, best) ? option : best)));
    });
    row = next;
  });
  const [errors, substitutions, deletions, insertions] = row.at(-1);
  return { errors, substitutions, deletions, insertions, words: said.length };
}

function ranks(values) { // equal values share their mean rank
  const sorted = [...values].sort((a, b) => a - b);
  return values.map((value) => (sorted.indexOf(value) + sorted.lastIndexOf(value)) / 2);
}

// Spearman's rank correlation; null if one of the two does not vary.
export function agreement(first, second) {
  const [a, b] = [ranks(first), ranks(second)], middle = (a.length - 1) / 2;
  const dot = (p, q) => p.reduce((sum, value, i) => sum + (value - middle) * (q[i] - middle), 0);
  const scale = Math.sqrt(dot(a, a) * dot(b, b));
  return scale > 0 ? dot(a, b) / scale : null;
}

// Order in which n clips are heard: the first first, the last last, the others drawn.
export function hiddenOrder(n, random = Math.random) {
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 2; i > 1; i -= 1) {
    const j = 1 + Math.floor(random() * i);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}
const stored = (key) => { try { return JSON.parse(localStorage.getItem(key)); } catch { return null; } };
const store = (key, value) => {
  try { if (value) localStorage.setItem(key, JSON.stringify(value)); else localStorage.removeItem(key); } catch { /* private */ }
};
const fixed = (value) => (value === null ? "–" : value.toFixed(2).replace("-", "−"));
let count = 0;

function buildForm() {
  const id = `ed-blind-${(count += 1)}`;
  const view = {
    play: element("button", { type: "button", className: "ed-button ed-toggle" }),
    words: element("textarea", { id: `${id}-words`, rows: 2, autocomplete: "off", spellcheck: false }),
    scores: SCORES.map((name, i) => element("input", { type: "radio", name: id, value: String(i + 1) })),
    next: element("button", { type: "submit", className: "ed-button", textContent: "Next" }),
    hint: element("p", { className: "ed-note" }),
  };
  view.words.style.cssText = "width:100%;box-sizing:border-box;min-height:44px;font:inherit";
  view.hint.setAttribute("role", "status");
  const choices = view.scores.map((input, i) =>
    element("label", { className: "ed-choice" }, input, element("span", { textContent: `${i + 1} ${SCORES[i]}` })));
  const row = element("div", { className: "ed-row" }, ...choices);
  row.style.columnGap = "1.25rem";
  view.root = element("form", {},
    element("div", { className: "ed-row" }, view.play),
    element("p", {}, element("label", { htmlFor: view.words.id, textContent: "The words that you understand" })), view.words,
    element("fieldset", {}, element("legend", { className: "ed-title", textContent: "Quality, as you hear it" }), row),
    element("div", { className: "ed-row" }, view.next), view.hint);
  view.root.querySelector("fieldset").style.cssText = "border:0;padding:0;margin:.4rem 0;min-width:0";
  return view;
}

function resultTable(recording, number, answers, play) {
  const head = ["Clip", "You", "PESQ", "ESTOI", "Words wrong"];
  const rows = recording.clips.map((clip, index) => {
    const answer = answers.find((each) => each.clip === index);
    const { errors, words } = wordErrors(recording.transcript, answer.words);
    const button = element("button", { type: "button", className: "ed-button", textContent: `▶\u00a0${clip.label}` });
    button.style.cssText = "background:var(--pst-color-background, transparent);padding:.2rem .3rem;max-width:5.5rem";
    button.addEventListener("click", () => play(clip));
    const cells = [answer.score, fixed(clip.pesq), fixed(clip.estoi), `${errors} of ${words}`];
    return element("tr", {}, element("th", { scope: "row" }, button),
      ...cells.map((textContent) => element("td", { textContent })));
  });
  for (const cell of rows.flatMap((row) => [...row.cells])) cell.style.padding = ".25rem .2rem"; // all columns fit 360 px
  const table = element("table", { className: "table" },
    element("thead", {}, element("tr", {}, ...head.map((textContent) => element("th", { scope: "col", textContent })))),
    element("tbody", {}, ...rows));
  table.style.cssText = "font-size:.85rem;width:100%";
  const box = element("div", { className: "table-box", tabIndex: 0 }, table);
  for (const cell of table.tHead.rows[0].cells) cell.style.cssText = "padding:.25rem .2rem;white-space:normal";
  box.style.overflowX = "auto";
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", `Result of recording ${number}`);
  return box;
}

function render({ model, el }) {
  const recordings = model.get("recordings") ?? [];
  if (!recordings.length) { el.textContent = "There is no recording here."; return; }
  const title = model.get("title") ?? "Listen blind";
  const key = `edmse:blind:${model.get("key") ?? title}`;
  const audio = element("audio", { preload: "none", className: "ed-audio" });
  const place = element("p", { className: "ed-readout" }), form = buildForm(), result = element("div");
  place.setAttribute("role", "status");
  place.tabIndex = -1;
  const volume = element("input", { type: "range", min: 10, max: 100, step: 10, value: 100, className: "ed-range", id: `ed-blind-volume-${count}` });
  const loud = element("output", { value: "100 %" });
  volume.addEventListener("input", () => { audio.volume = volume.value / 100; loud.value = `${volume.value} %`; });
  const more = element("details", {}, element("summary", { textContent: "More: volume, start again" }),
    element("p", {}, element("label", { htmlFor: volume.id, textContent: "Volume" }), " ", loud),
    element("div", { className: "ed-row" }, volume));
  const again = element("button", { type: "button", className: "ed-button", textContent: "Forget my answers, start again" });
  more.append(element("div", { className: "ed-row" }, again));
  more.firstChild.style.cssText = "min-height:44px;cursor:pointer";
  const tasks = element("ol", {}, ...(model.get("tasks") ?? []).map((textContent) => element("li", { textContent })));
  const box = element("div", { className: "ed-box ed-blind" }, element("p", { className: "ed-title", textContent: title }),
    place, form.root, result, tasks, more, audio);
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", title);

  let state, heard = false, now = null;
  const fresh = () => ({ orders: recordings.map(({ clips }) => hiddenOrder(clips.length)), answers: recordings.map(() => []) });
  const fits = (found) => found?.answers?.length === recordings.length
    && recordings.every(({ clips }, i) => found.orders?.[i]?.length === clips.length && found.answers[i].length <= clips.length);
  const turn = () => state.answers.findIndex((answers, i) => answers.length < recordings[i].clips.length);

  function play(clip) {
    if (clip === now && !audio.paused) return audio.pause();
    if (clip !== now) audio.src = clip.src;
    now = clip;
    audio.currentTime = 0;
    heard = true;
    return audio.play().catch((error) => {
      if (error.name !== "AbortError") place.textContent = "This clip cannot be played here.";
    });
  }
  function ask() {
    const i = turn(), { clips } = recordings[i], step = state.answers[i].length;
    place.textContent = `Recording ${i + 1} of ${recordings.length}, clip ${step + 1} of ${clips.length}`;
    form.words.value = state.answers[i].at(-1)?.words ?? "";
    form.scores.forEach((input) => { input.checked = false; });
    form.hint.textContent = "";
    heard = false;
    [form.root.hidden, result.hidden] = [false, true];
    Object.assign(box.dataset, { state: "listening", clip: step + 1, recording: i + 1 });
  }
  function reveal() {
    const clips = recordings.flatMap((recording) => recording.clips);
    const mine = recordings.flatMap(({ clips: some }, i) => some.map((_, c) => state.answers[i].find((a) => a.clip === c).score));
    const likes = [agreement(mine, clips.map((clip) => clip.pesq)), agreement(mine, clips.map((clip) => clip.estoi))];
    place.textContent = likes[0] === null ? "You gave every clip the same score: there is no order to compare."
      : `Your order of the ${clips.length} clips against PESQ: ${fixed(likes[0])}, against ESTOI: ${fixed(likes[1])}. (Spearman's rank correlation: 1 is the same order, 0 is no relation.)`;
    const said = element("p", { className: "ed-note" });
    said.setAttribute("aria-live", "polite");
    const shown = (clip) => { said.textContent = `${clip.label}: ${clip.heard}`; play(clip); };
    result.replaceChildren(...recordings.flatMap((recording, i) => [
      element("p", { className: "ed-title", textContent: `Recording ${i + 1}: “${recording.transcript}”` }),
      element("p", { textContent: `From the noisy clip you wrote: “${state.answers[i][0].words || "nothing"}”.` }),
      resultTable(recording, i + 1, state.answers[i], shown)]), said);
    [form.root.hidden, result.hidden] = [true, false];
    Object.assign(box.dataset, { state: "done", pesq: likes[0] ?? "", estoi: likes[1] ?? "" });
    model.set("answer", { scores: mine, agreement_pesq: likes[0], agreement_estoi: likes[1] });
    model.save_changes();
  }
  const show = () => (turn() < 0 ? reveal() : ask());
  form.play.addEventListener("click", () => {
    const i = turn();
    play(recordings[i].clips[state.orders[i][state.answers[i].length]]);
  });
  form.root.addEventListener("keydown", (event) => { // 1 … 5 score, unless the reader is writing
    const input = form.scores[Number(event.key) - 1];
    if (input && event.target !== form.words && !event.ctrlKey && !event.metaKey && !event.altKey) input.checked = true;
  });
  form.root.addEventListener("submit", (event) => {
    event.preventDefault();
    const i = turn(), score = form.scores.findIndex((input) => input.checked) + 1;
    if (!heard || !score) {
      form.hint.textContent = heard ? "Choose a quality from 1 to 5 first." : "Play the clip first.";
      return;
    }
    audio.pause();
    state.answers[i].push({ clip: state.orders[i][state.answers[i].length], score, words: form.words.value.trim() });
    store(key, state);
    show();
    place.focus();
  });
  again.addEventListener("click", () => { audio.pause(); store(key, null); state = fresh(); show(); place.focus(); });
  const label = () => { form.play.textContent = audio.paused ? "▶ Play" : "⏸ Stop"; };
  for (const event of ["play", "pause", "ended"]) audio.addEventListener(event, label);
  const others = (event) => { // one sound at a time on a page
    if (event.target === audio) document.querySelectorAll("audio").forEach((each) => each !== audio && each.pause());
    else audio.pause();
  };
  document.addEventListener("play", others, true);
  label();
  el.append(box);
  const earlier = stored(key);
  state = fits(earlier) ? earlier : fresh();
  show();
  return () => { document.removeEventListener("play", others, true); audio.pause(); };
}

export default { render };
