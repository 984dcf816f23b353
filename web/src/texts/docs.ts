// The list of the API's paths.
import { texts } from "./say";

export const DOCS = texts({
  intro: ["All paths of the API, from /openapi.json.", "API 的全部路径，取自 /openapi.json。"],
});
