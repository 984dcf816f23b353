// Text for notifications about jobs.
import { texts } from "./say";

export const WATCH = texts({
  start: ["Notify me about {name}", "{name} 结束或异常时通知我"],
  stop: ["Stop notifications about {name}", "不再通知 {name}"],
  started: [
    "You will be notified when the run ends or becomes unhealthy, while this site is open in a tab.",
    "任务结束或出现异常时会通知您（请保持此页面打开）。",
  ],
  only_title: [
    "The title of this tab will change when the run ends or becomes unhealthy. Browser notifications need HTTPS or localhost.",
    "任务结束或出现异常时，本标签页的标题会提示。浏览器通知需要通过 HTTPS 或 localhost 访问。",
  ],
  blocked: [
    "The title of this tab will change when the run ends or becomes unhealthy. Notifications are blocked in the browser's settings for this site.",
    "任务结束或出现异常时，本标签页的标题会提示。浏览器设置已禁止此网站发送通知。",
  ],
  stopped: ["Notifications for this run are off.", "已关闭此任务的通知。"],
  ended: ["{name}: {state}", "{name}：{state}"],
  unhealthy: ["{name} looks unhealthy", "{name} 出现异常"],
});
