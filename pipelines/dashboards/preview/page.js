// Tooltips from the words that marks and titles carry; filters apply when they change. Without this script all still works.
(() => {
  const tip = document.getElementById("tip");
  const words = (node) => {
    const found = node.closest("[data-tip],[aria-label]");
    return found && (found.dataset.tip || (found.getAttribute("role") === "graphics-symbol" && found.getAttribute("aria-label")));
  };
  const show = (event) => {
    const text = event.target.closest && words(event.target);
    tip.classList.toggle("on", Boolean(text));
    if (!text) return;
    tip.textContent = text;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(8, Math.min(event.clientX + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${event.clientY + 18 + box.height > innerHeight ? event.clientY - box.height - 10 : event.clientY + 18}px`;
  };
  addEventListener("mousemove", show);
  const form = document.querySelector("form.filters");
  if (!form) return;
  form.addEventListener("change", (event) => {
    if (event.target.tagName === "SELECT") form.submit();
  });
  addEventListener("click", (event) => {
    for (const open of form.querySelectorAll("details[open]")) {
      if (!open.contains(event.target)) {
        open.removeAttribute("open");
        if (open.dataset.changed) form.submit();
      }
    }
  });
  form.addEventListener("change", (event) => {
    const field = event.target.closest("details");
    if (field) field.dataset.changed = "yes";
  });
})();
