// Text for the page that lists the API's endpoints.
import { texts } from "./say";

export const DOCS = texts({
  intro: ["All endpoints of the API, from /openapi.json.", "全部 API 接口，取自 /openapi.json。"],
});
