// The package has no types. These are the options that swagger.ts uses.
declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  export default function SwaggerUI(options: {
    domNode: HTMLElement;
    spec: object;
    validatorUrl: null;
    docExpansion: "list" | "full" | "none";
    defaultModelsExpandDepth: number;
    displayRequestDuration: boolean;
    plugins: (() => { wrapComponents: Record<string, () => () => null> })[];
  }): unknown;
}
