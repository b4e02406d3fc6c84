// Put an explorable wherever the page holds <div data-edmse-widget="name" data-edmse-options='{…}'>.
// The module is the one that anywidget loads in Jupyter; this stands in for Jupyter's model.

export function createModel(values) {
  const listeners = new Map();
  const fire = (event) => (listeners.get(event) ?? []).forEach((call) => call());
  return {
    get: (key) => values[key],
    set(key, value) { values[key] = value; fire(`change:${key}`); },
    on(event, call) { listeners.set(event, [...(listeners.get(event) ?? []), call]); },
    off(event, call) { listeners.set(event, (listeners.get(event) ?? []).filter((c) => c !== call)); },
    save_changes() { fire("change"); },
  };
}

export async function mount(el) {
  const name = el.dataset.edmseWidget;
  if (!/^[a-z][\w-]*$/.test(name)) throw new Error(`"${name}" is not the name of an explorable`);
  const { default: widget } = await import(new URL(`./explorables/${name}.mjs`, import.meta.url));
  const model = createModel(JSON.parse(el.dataset.edmseOptions || "{}"));
  el.replaceChildren(); // what stood here was for readers without JavaScript
  await widget.render({ model, el });
  el.dataset.edmseMounted = "";
  await window.MathJax?.typesetPromise?.([el]);
}

for (const el of document.querySelectorAll("[data-edmse-widget]")) {
  mount(el).catch((error) => console.error(`explorable ${el.dataset.edmseWidget}:`, error));
}

// A box that scrolls sideways must be reachable by keyboard; one that does not must not be.
const boxes = ".table-box, div.math, div.highlight pre, .cell_output pre";
const scrollers = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth + 1) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
document.querySelectorAll(boxes).forEach((box) => scrollers.observe(box));
