// @ts-check
// One live stream for all tabs of a browser: over HTTP/1.1 a seventh stream of its own would hang (six connections a host).
// It goes on after the last event that it has seen, also when the desk was restarted.

/** @type {Set<MessagePort>} */
const ports = new Set();
/** @type {EventSource | null} */
let source = null;
let address = "";
let last = "";
let retry = 0;

/** @param {object} message */
const tell = (message) => { for (const port of ports) port.postMessage(message); };

/** Alerts that came together go to the tabs together. @type {object[]} */
let alerts = [];

/** @param {object} alert */
function gather(alert) {
  alerts.push(alert);
  if (alerts.length === 1) self.setTimeout(() => { tell({ kind: "alerts", value: alerts }); alerts = []; }, 10);
}

function open() {
  source = new EventSource(`${address}?after=${encodeURIComponent(last)}`);
  source.onopen = () => tell({ kind: "state", live: true });
  source.onerror = () => {
    tell({ kind: "state", live: false });
    // A refusal (401, 503) closes the source for good; a broken connection it repairs itself, with the first address: open anew.
    source?.close();
    clearTimeout(retry);
    retry = self.setTimeout(open, 1000);
  };
  for (const name of ["alert", "pulse", "reload"]) {
    source.addEventListener(name, (event) => {
      if (event.lastEventId) last = event.lastEventId;
      const value = JSON.parse(event.data);
      if (name === "alert") gather(value); else tell({ kind: name, value });
    });
  }
}

// @ts-ignore: the worker's own event
self.onconnect = (/** @type {MessageEvent} */ event) => {
  const port = event.ports[0];
  ports.add(port);
  port.onmessage = ({ data }) => {
    if (data.close) { ports.delete(port); if (!ports.size) { source?.close(); source = null; clearTimeout(retry); } return; }
    if (source) { port.postMessage({ kind: "state", live: source.readyState === EventSource.OPEN }); return; }
    address = data.address;
    last = data.after;
    open();
  };
  port.start();
};
