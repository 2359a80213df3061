// What the page does by itself: choosing and sending files, dropping them, saving files, and keys.
(function () {
  const POSES = /\.(mrk\.json|json|fcsv)$/i;
  const trame = () => window.trame;
  const call = (name, ...args) => trame().trigger(name, args);
  let stop = null; // of the files that are being sent

  function sending(value) { trame().state.set("sending", value); }

  // One request with its progress; fetch has none for what is sent.
  function put(url, file, name, progress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("PUT", url);
      request.setRequestHeader("X-Name", encodeURIComponent(name));
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.onprogress = (event) => progress(event.loaded);
      request.onload = () => (request.status < 300 ? resolve() : reject(new Error(request.responseText)));
      request.onerror = () => reject(new Error("The connection broke."));
      request.onabort = () => reject(new Error("stopped"));
      stop = () => request.abort();
      request.send(file);
    });
  }

  // Corrections that are in no exported file are not thrown away without asking.
  function sure() {
    return !trame().state.get("unsaved") || window.confirm("Your corrections are not exported. Go on without them?");
  }

  async function send(files, kind) {
    if (!files.length || !sure()) return;
    const total = files.reduce((sum, [file]) => sum + file.size, 0) || 1;
    const text = files.length === 1 ? `Sending ${files[0][0].name}` : `Sending ${files.length} files`;
    const { number } = await (await fetch("uploads", { method: "POST" })).json();
    let done = 0, opened = false;
    try {
      for (const [file, name] of files) {
        await put(`uploads/${number}`, file, name, (part) => sending({ text: `${text} ...`, part: (done + part) / total }));
        done += file.size;
      }
      opened = true;
      sending(null);
      await fetch(`uploads/${number}/${kind}`, { method: "POST" });
    } catch (error) {
      sending(null);
    } finally {
      stop = null;
      if (!opened) fetch(`uploads/${number}`, { method: "DELETE" }).catch(() => {});
    }
  }

  function choose(what) {
    const input = document.createElement("input");
    input.type = "file";
    input.multiple = what === "volume"; // a header and its voxels
    input.webkitdirectory = what === "folder";
    if (what === "pose") input.accept = ".json,.fcsv";
    input.onchange = () => send([...input.files].map((file) => [file, file.webkitRelativePath || file.name]), what === "pose" ? "pose" : "volume");
    input.click();
    fetalpose.input = input;
  }

  // Files of what was dropped, folders included.
  async function filesOf(entry, path = "") {
    if (entry.isFile) return [[await new Promise((ok, no) => entry.file(ok, no)), path + entry.name]];
    const reader = entry.createReader(), found = [];
    for (;;) {
      const some = await new Promise((ok, no) => reader.readEntries(ok, no));
      if (!some.length) return found;
      for (const one of some) found.push(...(await filesOf(one, `${path}${entry.name}/`)));
    }
  }

  function over(on) { document.getElementById("fp-drop")?.classList.toggle("fp-on", on); }

  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("dragend", () => over(false));
  document.addEventListener("drop", async (event) => {
    event.preventDefault();
    over(false);
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    const files = (await Promise.all(entries.map((entry) => filesOf(entry)))).flat();
    await send(files, files.length === 1 && POSES.test(files[0][1]) ? "pose" : "volume");
  });

  async function save(what) {
    const answer = await fetch(`download/${what}`);
    if (!answer.ok) return; // the server has said why in the status line
    const name = /filename\*=UTF-8''([^;]+)/.exec(answer.headers.get("Content-Disposition") || "");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = name ? decodeURIComponent(name[1]) : what;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // Takes the place of the pose that is shown.
  function afresh(name) { if (sure()) call(name); }

  function cancel() {
    if (stop) stop();
    else call("cancel");
  }

  const KEYS = {
    n: ["step", 1], p: ["step", -1], r: ["reset"], v: ["not_visible"], f: ["reset_views"],
    "ctrl+z": ["undo"], "ctrl+y": ["redo"], "ctrl+shift+z": ["redo"],
  };
  document.addEventListener("keydown", (event) => {
    if (/^(select|textarea)$/i.test(event.target.tagName) || event.target.matches?.("input:not([type=checkbox]):not([type=range])")) return;
    if (event.key === "Escape") { if (!trame().state.get("showing_settings")) cancel(); return; }
    if (event.key === "e" && !event.ctrlKey && !event.metaKey && !event.altKey) { afresh("estimate"); return; }
    const ctrl = event.ctrlKey || event.metaKey;
    const name = (ctrl ? "ctrl+" : "") + (ctrl && event.shiftKey ? "shift+" : "") + event.key.toLowerCase();
    if (!(name in KEYS) || event.altKey) return;
    event.preventDefault();
    call(...KEYS[name]);
  });
  // A button that is let go outside of the window: nobody holds a landmark any more.
  window.addEventListener("blur", () => { if (trame()?.state) call("let_go"); });

  const fetalpose = { choose, over, save, cancel, afresh, input: null };
  window.fetalpose = fetalpose;
})();
