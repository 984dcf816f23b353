export function ComparePage() { return <p/>; }
