// Builds into app/static, from which the server serves the page. `npm run dev` serves the sources and proxies API requests to
// STEPLINE_SERVER_URL, by default http://127.0.0.1:8000.
import { createHash } from "node:crypto";
import { defineConfig, type Plugin } from "vite";

const server = process.env.STEPLINE_SERVER_URL ?? "http://127.0.0.1:8000";

function decoded(data: string): string {
  return /%[0-9a-f]{2}/i.test(data) ? decodeURIComponent(data) : data;
}

/** Turn the images inside Swagger UI's style sheet into files, because the page's CSP allows no data: addresses. */
function imagesToFiles(): Plugin {
  const KINDS: Record<string, string> = { "image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg" };
  return {
    name: "images-to-files",
    apply: "build",
    generateBundle(_, bundle) {
      for (const file of Object.values(bundle)) {
        if (file.type !== "asset" || !file.fileName.endsWith(".css")) continue;
        const style = Buffer.from(file.source).toString();
        file.source = style.replace(
          /url\((?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^)"']*))\)/g,
          (whole, ...quoted: string[]) => {
            const address = (quoted[0] ?? quoted[1] ?? quoted[2] ?? "").replaceAll(/\\(["'])/g, "$1");
            const found = /^data:([a-z+/]+)([^,]*),(.*)$/s.exec(address);
            if (!found) return whole;
            const [, kind, options, data] = found;
            const content = options!.includes(";base64") ? Buffer.from(data!, "base64") : Buffer.from(decoded(data!));
            const hash = createHash("sha256").update(content).digest("hex").slice(0, 8);
            const fileName = `assets/swagger-${hash}.${KINDS[kind!]}`;
            this.emitFile({ type: "asset", fileName, source: content });
            return `url(/${fileName})`;
          },
        );
      }
    },
  };
}

export default defineConfig({
  plugins: [imagesToFiles()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "../app/static",
    emptyOutDir: true,
    assetsDir: "assets",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 2_000, // Swagger UI, which only the API page loads
    target: "es2022",
  },
  base: "/",
  server: { proxy: { "/v1": server, "/openapi.json": server } },
});
