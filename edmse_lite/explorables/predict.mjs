// Predict: commit to an answer before the page gives it.
// Options: key (unique, names the stored answer), question, choices [{text, feedback, correct}].
// The answer stays in this browser. Without JavaScript the page shows the question and a folded answer.

const stored = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
const store = (key, value) => {
  try { if (value === null) localStorage.removeItem(key); else localStorage.setItem(key, value); } catch { /* private mode */ }
};

const math = (text) => (text ?? "").replace(/\$([^$]+)\$/g, "\\($1\\)"); // $x$ as MathJax expects it

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function render({ model, el }) {
  const choices = model.get("choices") ?? [];
  const key = `edmse:predict:${model.get("key") ?? model.get("question")}`;
  const name = `predict-${Math.random().toString(36).slice(2)}`;
  const inputs = choices.map((_, i) => element("input", { type: "radio", name, value: String(i) }));
  const labels = choices.map((choice, i) =>
    element("label", { className: "ed-choice" }, inputs[i], element("span", { textContent: math(choice.text) })));
  const commit = element("button", { type: "submit", className: "ed-button", textContent: "Commit", disabled: true });
  const again = element("button", { type: "button", className: "ed-button", textContent: "Change my answer", hidden: true });
  const feedback = element("p", { className: "ed-feedback" });
  feedback.setAttribute("role", "status");
  const fields = element("fieldset", {},
    element("legend", { className: "ed-title", textContent: math(model.get("question")) }), ...labels);
  const form = element("form", { className: "ed-box ed-predict mathjax_process tex2jax_process" },
    fields, element("div", { className: "ed-row" }, commit, again), feedback);

  function reveal(index) {
    const choice = choices[index];
    inputs[index].checked = true;
    fields.disabled = true;
    commit.hidden = true;
    again.hidden = false;
    const verdict = choice.correct ? "✓ As it turns out. " : "✗ Not so. ";
    feedback.textContent = verdict + math(choice.feedback);
    feedback.dataset.correct = String(Boolean(choice.correct));
    window.MathJax?.typesetPromise?.([feedback]);
  }
  function reset() {
    store(key, null);
    inputs.forEach((input) => { input.checked = false; });
    Object.assign(fields, { disabled: false });
    Object.assign(commit, { hidden: false, disabled: true });
    again.hidden = true;
    feedback.textContent = "";
    inputs[0]?.focus();
  }

  form.addEventListener("change", () => { commit.disabled = false; });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const index = inputs.findIndex((input) => input.checked);
    if (index < 0) return;
    store(key, String(index));
    model.set("answer", index);
    model.save_changes();
    reveal(index);
    again.focus();
  });
  again.addEventListener("click", reset);
  el.append(form);
  const earlier = stored(key);
  if (earlier !== null && choices[Number(earlier)]) reveal(Number(earlier));
}

export default { render };
