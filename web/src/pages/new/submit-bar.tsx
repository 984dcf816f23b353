// The bar at the bottom of the window: the problems that prevent submission, with links to their fields, and the buttons.
import { NEW } from "../../texts/new/new";
import { say } from "../../texts/say";
import { type Field } from "./form";
import { idOf, labelOf } from "./fields/field-row";

interface Props {
  /** The fields with a problem that is shown, in the order of the page. */
  invalid: Field[];
  /** Problems that do not belong to a field, and connection problems. */
  others: string[];
  show: (path: string) => void;
  reset: () => void;
  isBusy: boolean;
}

export function SubmitBar({ invalid, others, show, reset, isBusy }: Props) {
  return (
    <div class="submit-bar">
      <div class="grow">
        {invalid.length > 0 && (
          <p class="problem" role="status">
            {say(NEW.problems, { n: invalid.length })}{" "}
            {invalid.map((field, at) => (
              <span key={field.path}>
                {at > 0 && say(NEW.comma)}
                <a
                  href={`#${idOf(field.path)}`}
                  onClick={(event) => {
                    event.preventDefault();
                    show(field.path);
                  }}
                >
                  {labelOf(field)}
                </a>
              </span>
            ))}
          </p>
        )}
        {others.map((message) => (
          <p key={message} class="problem" role="alert">
            {message}
          </p>
        ))}
      </div>
      <div class="row">
        <button type="button" onClick={reset}>
          {say(NEW.reset)}
        </button>
        <button type="submit" class="primary" disabled={isBusy}>
          {say(NEW.submit)}
        </button>
      </div>
    </div>
  );
}
