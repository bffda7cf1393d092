// Tells of the token under the pointer; a click on it looks at its place.
const rest = () => element.querySelector(".chosen")?.dataset.detail ?? "";
const tell = (text) => {
  const line = element.querySelector(".detail");
  if (line) line.textContent = text;
};
element.addEventListener("mouseover", (event) => tell(event.target.dataset.detail ?? rest()));
element.addEventListener("mouseleave", () => tell(rest()));
// Not "click": a token that is drawn anew between press and release has none.
element.addEventListener("mousedown", (event) => {
  const place = event.target.dataset.place;
  if (place !== undefined) trigger("click", { place: Number(place) });
});
