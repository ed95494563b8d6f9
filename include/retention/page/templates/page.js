(() => {
  "use strict";
  // Inside Airflow's frame the outer page decides the theme and opens Airflow's own pages: the frame may not navigate it.
  let outer = null;
  try {
    if (window.parent !== window) outer = window.parent.document;
  } catch { /* framed by somebody else: stay by ourselves */ }
  const follow = () => {
    let theme = null;
    try {
      theme = outer ? (outer.documentElement.classList.contains("dark") ? "dark" : "light") : localStorage.getItem("theme");
    } catch { /* no storage: the system's theme */ }
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
  };
  follow();
  if (outer) new MutationObserver(follow).observe(outer.documentElement, { attributeFilter: ["class"] });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-airflow]");
    if (!link || !outer || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const door = outer.createElement("a");
    door.href = link.href;
    outer.body.append(door);
    door.click();
    door.remove();
  });
})();
