// One clip after the other: S, O or U. Each answer is kept at once.
const at = (id) => document.getElementById(id);
let clips = [], place = 0, labelled = 0, isAsking = false;

async function load() {
  clips = await (await fetch("/api/clips")).json();
  show();
}

function show() {
  const clip = clips[place], sound = at("sound");
  at("left").textContent = clip ? `${clips.length - place} left, ${labelled} labelled` : `Nothing is left; ${labelled} labelled.`;
  document.querySelectorAll("button").forEach((each) => { each.disabled = !clip; });
  sound.hidden = !clip;
  at("clip").textContent = clip ? `${clip.group}, ${Number(clip.seconds).toFixed(0)} s, highest score ${clip.score}` : "";
  if (!clip) return;
  sound.src = `/api/sound?path=${encodeURIComponent(clip.path)}`;
  sound.play().catch(() => {});  // a browser plays nothing before the first key
}

async function say(kind) {
  const clip = clips[place];
  if (!clip || isAsking) return;  // a second key before the answer would pass over a clip that nobody heard
  if (kind) {
    isAsking = true;
    try {
      const answer = await fetch("/api/label", { method: "POST", body: new URLSearchParams({ path: clip.path, class: kind }) });
      if (!answer.ok) {
        at("left").textContent = `It was not kept: ${await answer.text()}`;
        return;
      }
    } catch {
      at("left").textContent = "It was not kept: sirend record --review has ended.";
      return;
    } finally {
      isAsking = false;
    }
    labelled += 1;
  }
  place += 1;
  show();
}

document.querySelectorAll("button").forEach((each) => each.addEventListener("click", () => say(each.dataset.class)));
document.addEventListener("keydown", (press) => {
  if (press.ctrlKey || press.metaKey || press.altKey) return;
  const button = document.querySelector(`[data-key="${CSS.escape(press.key.toLowerCase())}"]`);
  if (button) say(button.dataset.class);
  else if (press.key === " " && press.target.tagName !== "BUTTON") {
    press.preventDefault();
    at("sound").currentTime = 0;
    at("sound").play();
  }
});
load();
