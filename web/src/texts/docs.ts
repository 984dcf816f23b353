// Text for the page that lists the API's endpoints.
import { texts } from "./say";

export const DOCS = texts({
  intro: [
    "Open an endpoint to see its parameters, bodies and examples. “Try it out” sends real requests to this server.",
    "展开接口可查看参数、请求体与示例；“Try it out”会向本服务器发送真实请求。",
  ],
  failed: [
    "The reference could not be loaded. Reload the page, or read openapi.json.",
    "接口文档加载失败。请刷新页面，或直接查看 openapi.json。",
  ],
});
