// A classic script, run before the first paint: the page must not flash in the other theme.
"use strict";
(() => {
    const saved = localStorage.getItem("warmd.theme");
    if (saved === "light" || saved === "dark") document.documentElement.dataset.theme = saved;
})();
