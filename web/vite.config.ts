// Builds into app/static, from which the server serves the page. `npm run dev` serves the sources and proxies API requests to
// STEPLINE_SERVER_URL, by default http://127.0.0.1:8000.
import { defineConfig } from "vite";

const server = process.env.STEPLINE_SERVER_URL ?? "http://127.0.0.1:8000";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../app/static",
    emptyOutDir: true,
    assetsDir: "assets",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  base: "/",
  server: { proxy: { "/v1": server, "/openapi.json": server } },
});
