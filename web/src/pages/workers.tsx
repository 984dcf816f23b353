export function WorkersPage() { return <p/>; }
