"use strict";
/* What hovers: the point nearest to the pointer tells its numbers, which are in the page already (title elements). */
for (const chart of document.querySelectorAll("svg.chart")) {
  const dots = [...chart.querySelectorAll("circle")].map((dot) => {
    const title = dot.querySelector("title");
    const text = title.textContent;
    title.remove(); /* or the browser would tell it a second time */
    return { dot, text, x: dot.cx.baseVal.value, y: dot.cy.baseVal.value };
  });
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  chart.parentElement.append(tip);
  let near = null;
  const leave = () => {
    if (near) near.dot.classList.remove("near");
    near = null;
    tip.hidden = true;
  };
  const look = (event) => {
    const box = chart.getBoundingClientRect();
    const scale = chart.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * scale;
    const y = (event.clientY - box.top) * scale;
    let best = null;
    let least = Infinity;
    for (const one of dots) {
      const distance = Math.hypot(one.x - x, one.y - y);
      if (distance < least) [best, least] = [one, distance];
    }
    leave();
    if (!best) return;
    near = best;
    near.dot.classList.add("near");
    tip.textContent = best.text;
    tip.hidden = false;
    const left = best.x / scale + chart.offsetLeft;
    tip.style.left = Math.max(0, Math.min(left + 10, box.width - tip.offsetWidth)) + "px";
    tip.style.top = Math.max(0, best.y / scale + chart.offsetTop - tip.offsetHeight - 10) + "px";
  };
  chart.addEventListener("pointermove", look);
  chart.addEventListener("pointerdown", look);
  chart.addEventListener("pointerleave", leave);
}
