// Self-test: short questions, each with a word on the choice at once and a link to its refresher.
// Options: key, title, questions [{name, text, choices: [[text, feedback]], right, link, refresher}].
// The first answer to a question counts; it stays in this browser. Other choices may be read after.

const stored = (key) => { try { return JSON.parse(localStorage.getItem(key)) ?? {}; } catch { return {}; } };
const store = (key, value) => { try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* private mode */ } };

function element(tag, properties = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

// How many of the questions were answered, how many rightly, and which refreshers are worth a look.
export function tally(questions, answers) {
  const done = questions.filter(({ name }) => name in answers);
  const missed = done.filter(({ name, right }) => answers[name] !== right);
  return { done: done.length, right: done.length - missed.length, missed };
}

const link = ({ link: href, refresher }) => element("a", { href, textContent: refresher });

function ask(question, number, answers, onAnswer) {
  const feedback = element("p", { className: "ed-feedback" });
  feedback.setAttribute("role", "status");
  const buttons = question.choices.map(([text], index) => {
    const button = element("button", { type: "button", className: "ed-button", textContent: text });
    button.style.cssText = "display:block;width:100%;text-align:left;font-weight:400;margin:.3rem 0";
    button.addEventListener("click", () => { onAnswer(question.name, index); reveal(index); });
    return button;
  });
  function reveal(index) {
    const correct = index === question.right;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === index)));
    feedback.dataset.correct = String(correct);
    feedback.replaceChildren(`${correct ? "✓ Right. " : "✗ Not so. "}${question.choices[index][1]} `);
    if (!correct) feedback.append("Three minutes on it: ", link(question), ".");
  }
  function reset() {
    buttons.forEach((button) => button.removeAttribute("aria-pressed"));
    feedback.replaceChildren();
  }
  if (question.name in answers && question.choices[answers[question.name]]) reveal(answers[question.name]);
  const legend = element("legend", { className: "ed-title", textContent: `${number}. ${question.text}` });
  const root = element("fieldset", {}, legend, ...buttons, feedback);
  root.style.marginBottom = "1.25rem";
  root.dataset.name = question.name;
  return { root, reset };
}

function render({ model, el }) {
  const questions = model.get("questions") ?? [], key = `edmse:selftest:${model.get("key") ?? "start"}`;
  let answers = stored(key);
  const result = element("p", { className: "ed-readout" });
  result.setAttribute("role", "status");
  const title = model.get("title") ?? "Self-test";
  const again = element("button", { type: "button", className: "ed-button", textContent: "Start again" });
  const asked = questions.map((question, i) => ask(question, i + 1, answers, (name, index) => {
    if (name in answers) return; // the first answer counts
    answers[name] = index;
    store(key, answers);
    count();
  }));

  function count() {
    const { done, right, missed } = tally(questions, answers);
    result.replaceChildren(`${done} of ${questions.length} answered, ${right} right. `);
    if (missed.length) result.append("Worth three minutes: ", ...missed.flatMap((each, i) => [i ? ", " : "", link(each)]), ".");
    else if (done === questions.length) result.append("You can start with any chapter.");
    again.hidden = !done;
    Object.assign(box.dataset, { done, right });
    model.set("answers", { ...answers });
    model.save_changes();
  }
  again.addEventListener("click", () => {
    answers = {};
    store(key, answers);
    asked.forEach(({ reset }) => reset());
    count();
    asked[0]?.root.querySelector("button").focus();
  });
  const box = element("div", { className: "ed-box ed-predict ed-selftest" },
    element("p", { className: "ed-title", textContent: title }), ...asked.map(({ root }) => root),
    result, element("div", { className: "ed-row" }, again));
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", title);
  el.append(box);
  count();
}

export default { render };
