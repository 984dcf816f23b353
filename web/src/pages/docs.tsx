export function DocsPage() { return <p/>; }
