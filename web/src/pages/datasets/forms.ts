// The formats of rows.
export const FORMS = ["alpaca", "prompt", "messages", "sharegpt", "text", "preference", "kto"] as const;
export type Form = (typeof FORMS)[number];
export const isForm = (name: string): name is Form => (FORMS as readonly string[]).includes(name);
