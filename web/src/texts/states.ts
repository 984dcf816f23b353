// How the page displays the API's statuses and phases.
import { say, type Text, texts } from "./say";

const STATES = texts({
  queued: ["queued", "排队中"],
  running: ["running", "运行中"],
  paused: ["paused", "已暂停"],
  succeeded: ["succeeded", "成功"],
  failed: ["failed", "失败"],
  cancelled: ["cancelled", "已取消"],
  cancelling: ["cancelling", "正在取消"],
  pausing: ["pausing", "正在暂停"],
  unreachable: ["worker not responding", "工作节点无响应"],
  interrupted: ["interrupted", "已中断"],
  lost: ["lost", "已失联"],
  placing: ["preparing files", "准备文件"],
  loading: ["loading the model", "加载模型"],
  tokenizing: ["tokenizing", "分词"],
  evaluating: ["evaluating", "评估"],
  training: ["training", "训练"],
  saving: ["saving", "保存"],
  uploading: ["uploading", "上传"],
});

/** Return a status or phase in the page's language; if it is unknown, return it unchanged. */
export function sayState(name: string): string {
  return Object.hasOwn(STATES, name) ? say((STATES as Record<string, Text>)[name]!) : name;
}
