export function NewPage() { return <p/>; }
