// A line under the pointer, with the values of all curves there. The points of a curve are the data
// itself, and the browser knows the way from the screen to them.
"use strict";

const number = (value) => Number(value.toPrecision(5)).toLocaleString("en", { maximumSignificantDigits: 5 });

function nearest(line, event) {
  const toData = line.getScreenCTM().inverse();
  const x = new DOMPoint(event.clientX, event.clientY).matrixTransform(toData).x;
  return Array.from(line.points).reduce((a, b) => (Math.abs(b.x - x) < Math.abs(a.x - x) ? b : a));
}

function describe(svg, line, point) {
  const value = svg.classList.contains("log") ? 10 ** point.y : point.y;
  const row = document.createElement("div");
  const chip = document.createElement("span");
  chip.textContent = "● ";
  chip.style.color = getComputedStyle(line).stroke;
  chip.style.opacity = getComputedStyle(line).opacity;
  const name = document.createElement("i");
  name.textContent = ` ${line.dataset.name}`;
  row.append(chip, number(value), name);
  return row;
}

function follow(svg) {
  const lines = Array.from(svg.querySelectorAll("polyline"));
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const tip = document.createElement("div");
  cursor.setAttribute("class", "cursor");
  tip.className = "tip";

  svg.addEventListener("pointermove", (event) => {
    const points = lines.map((line) => nearest(line, event));
    // The curve with a point closest to the pointer says where the line stands.
    const onScreen = points.map((point, i) => point.matrixTransform(lines[i].getScreenCTM()).x);
    const distance = onScreen.map((x) => Math.abs(x - event.clientX));
    const first = distance.indexOf(Math.min(...distance));
    if (first < 0) return;
    const x = new DOMPoint(onScreen[first], 0).matrixTransform(svg.getScreenCTM().inverse()).x;
    const { height } = svg.viewBox.baseVal;
    for (const [name, value] of Object.entries({ x1: x, x2: x, y1: 8, y2: height - 34 })) {
      cursor.setAttribute(name, value);
    }
    const title = document.createElement("b");
    title.textContent = `${svg.dataset.x} ${number(points[first].x)}`;
    tip.replaceChildren(title, ...lines.map((line, i) => describe(svg, line, points[i])));
    svg.append(cursor);
    svg.parentElement.append(tip);
    place(tip, onScreen[first] - svg.parentElement.getBoundingClientRect().left);
  });
  svg.addEventListener("pointerleave", () => { cursor.remove(); tip.remove(); });
}

function place(tip, x) {
  tip.style.left = 0; // at the edge, so that its own width does not depend on where it was
  const { clientWidth: width } = tip.parentElement;
  const left = x < width / 2 ? x + 12 : x - 12 - tip.offsetWidth;
  tip.style.left = `${Math.max(0, Math.min(left, width - tip.offsetWidth))}px`;
}

document.querySelectorAll("svg.chart").forEach(follow);
