// One clip after the other: S, O or U. Each answer is kept at once.
const at = (id) => document.getElementById(id);
let clips = [], place = 0, labelled = 0, isAsking = false;

async function load() {
  clips = await (await fetch("/api/clips")).json();
  show();
}

// Say when and where a clip was kept, by its name: 20261129T210101097412Z-main-near.flac.
function named({ path, group }) {
  const [, year, month, day, hour, minute, second, where] = path.match(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\d*Z-(.+)-[a-z]+\.\w+$/) ?? [];
  if (!where) return group;  // a clip that somebody put there
  const at = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  return `${where}, ${at.toLocaleString("en", { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" })}`;
}

function show() {
  const clip = clips[place], sound = at("sound");
  at("left").textContent = clip ? `${clips.length - place} left, ${labelled} labelled` : `Nothing is left; ${labelled} labelled.`;
  document.querySelectorAll("button").forEach((each) => { each.disabled = !clip; });
  sound.hidden = !clip;
  at("clip").textContent = clip ? `${named(clip)}, ${Number(clip.seconds).toFixed(0)} s, highest score ${clip.score}` : "";
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
