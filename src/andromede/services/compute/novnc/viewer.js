// The console's page: connects noVNC to the address that its own names. `path` is the WebSocket's, with the token.
import RFB from "./novnc/core/rfb.js";

const state = document.getElementById("status");
const path = new URLSearchParams(location.search).get("path") || "";
const scheme = location.protocol === "https:" ? "wss" : "ws";
const screen = new RFB(document.getElementById("screen"), `${scheme}://${location.host}/${path.replace(/^\/+/, "")}`);
screen.scaleViewport = true;
screen.addEventListener("connect", () => { state.textContent = "Connected"; });
screen.addEventListener("disconnect", (event) => {
    state.textContent = event.detail.clean ? "Disconnected" : "The connection ended; the address may be too old.";
});
screen.addEventListener("desktopname", (event) => { document.title = `${event.detail.name} - noVNC`; });
document.getElementById("keys").addEventListener("click", () => screen.sendCtrlAltDel());
