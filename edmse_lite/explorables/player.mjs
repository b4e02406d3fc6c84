// Player: the same moment of several recordings, one tap apart.
// Options: title, clips [{label, src, transcript, heard}], note (for example "Use headphones.").
// Sound is fetched at the first tap only. A switch keeps the position. One clip plays on a page.

const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function pauseOthers(event) {
  if (!(event.target instanceof HTMLMediaElement)) return;
  for (const other of document.querySelectorAll("audio, video")) {
    if (other !== event.target) other.pause();
  }
}

function buildView(title, clips, note) {
  const view = {
    audios: clips.map((clip) => element("audio", { preload: "none", src: clip.src, className: "ed-audio" })),
    buttons: clips.map((clip) => element("button", { type: "button", className: "ed-button", textContent: clip.label })),
    toggle: element("button", { type: "button", className: "ed-button ed-toggle" }),
    position: element("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0, className: "ed-range" }),
    time: element("output", { className: "ed-time" }),
    heard: element("p", { className: "ed-heard" }),
    words: element("p", { className: "ed-words" }),
  };
  view.position.setAttribute("aria-label", "Position");
  view.heard.setAttribute("aria-live", "polite");
  const choice = element("div", { className: "ed-row" }, ...view.buttons);
  choice.setAttribute("role", "group");
  choice.setAttribute("aria-label", "Recording");
  const bar = element("div", { className: "ed-row" }, view.toggle, view.position, view.time);
  const transcript = element("details", {}, element("summary", { textContent: "Transcript" }), view.words);
  transcript.hidden = !clips.some((clip) => clip.transcript);
  view.root = element("div", { className: "ed-box ed-player" });
  view.root.setAttribute("role", "group");
  view.root.setAttribute("aria-label", title);
  view.root.append(element("p", { className: "ed-title", textContent: title }), choice, bar, view.heard, transcript);
  if (note) view.root.append(element("p", { className: "ed-note", textContent: note }));
  view.root.append(...view.audios);
  return view;
}

function render({ model, el }) {
  const clips = model.get("clips") ?? [];
  const view = buildView(model.get("title") ?? "Listen", clips, model.get("note"));
  let chosen = Math.min(Math.max(model.get("chosen") ?? 0, 0), Math.max(clips.length - 1, 0));
  const failed = new Set();
  const audio = () => view.audios[chosen];

  function show() {
    const playing = !audio().paused;
    view.buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === chosen)));
    view.toggle.textContent = playing ? "⏸ Pause" : "▶ Play";
    view.heard.textContent = failed.has(chosen) ? `“${clips[chosen].label}” cannot be played here.` : clips[chosen].heard ?? "";
    view.words.textContent = clips[chosen].transcript ?? "";
  }
  function tick() {
    const { currentTime, duration } = audio();
    if (Number.isFinite(duration)) view.position.max = duration;
    view.position.value = currentTime;
    view.time.value = Number.isFinite(duration) ? `${clock(currentTime)} / ${clock(duration)}` : clock(currentTime);
    view.position.setAttribute("aria-valuetext", `${currentTime.toFixed(1)} seconds`);
  }
  function seek(seconds) {
    const target = audio();
    if (target.readyState > 0) target.currentTime = Math.min(seconds, target.duration || seconds);
    else target.addEventListener("loadedmetadata", () => { target.currentTime = seconds; }, { once: true });
  }
  function start() {
    if (audio().ended) seek(0);
    const index = chosen;
    audio().play().then(() => failed.delete(index), (error) => {
      if (error.name !== "AbortError") failed.add(index);
      show();
    });
  }
  function choose(index) {
    if (index === chosen) return audio().paused ? start() : audio().pause();
    const at = audio().ended ? 0 : audio().currentTime;
    audio().pause();
    chosen = index;
    model.set("chosen", index);
    model.save_changes();
    seek(at);
    show();
    return start();
  }

  if (clips.length === 0) { el.textContent = "There is no recording here."; return; }
  view.buttons.forEach((button, i) => button.addEventListener("click", () => choose(i)));
  view.toggle.addEventListener("click", () => (audio().paused ? start() : audio().pause()));
  view.position.addEventListener("input", () => seek(Number(view.position.value)));
  view.root.addEventListener("keydown", (event) => {
    const index = Number(event.key) - 1;
    if (Number.isInteger(index) && clips[index] && !event.ctrlKey && !event.metaKey && !event.altKey) choose(index);
  });
  for (const each of view.audios) {
    for (const event of ["play", "pause", "ended"]) each.addEventListener(event, show);
    for (const event of ["timeupdate", "durationchange"]) each.addEventListener(event, () => each === audio() && tick());
  }
  document.removeEventListener("play", pauseOthers, true);
  document.addEventListener("play", pauseOthers, true);
  show();
  tick();
  el.append(view.root);
  return () => view.audios.forEach((each) => each.pause());
}

export default { render };
