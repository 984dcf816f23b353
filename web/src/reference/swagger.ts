// The API reference with "Try it out", rendered by Swagger UI. It is several times as large as the rest of the page, so only
// the API page loads it, when it is opened.
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";
import "./swagger.css";

/** Omits the document's title and description, because the page has its own heading. */
const withoutTitle = () => ({ wrapComponents: { InfoContainer: () => () => null } });

/** Render the API reference for an OpenAPI document inside an element. */
export function drawReference(element: HTMLElement, document: object): void {
  SwaggerUI({
    domNode: element,
    spec: document,
    validatorUrl: null, // the default sends the document's address to another host
    docExpansion: "list",
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    plugins: [withoutTitle],
  });
}
