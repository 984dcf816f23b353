// Text for the list of workers.
import { texts } from "./say";

export const WORKERS = texts({
  none: ["No worker has connected yet", "还没有工作节点接入"],
  none_hint: ["Start one on a GPU host:", "在 GPU 主机上启动："],
  device: ["Device", "设备"],
  device_failed: ["device failed", "设备故障"],
  failed: ["Failed", "故障"],
  current_job: ["Current job", "当前任务"],
  idle: ["idle", "空闲"],
  lends: ["lends its GPU to", "GPU 已借给"],
  for_one_job: ["Available to one job", "单任务最多可用"],
  queue: ["Queue", "队列"],
  last_seen: ["Last seen", "最近在线"],
  ago: ["{age} ago", "{age}前"],
  live: ["online", "在线"],
  silent: ["offline", "离线"],
  models: ["Models", "模型"],
  any_model: ["any model on the Hub", "Hub 上的任意模型"],
  also_any_model: ["and any on the Hub", "以及 Hub 上的任意模型"],
  more_models: ["and {n} more", "另有 {n} 个"],
  models_cut: [
    "The workers have more models than the {n} that this page reads. GET /v1/models lists all of them.",
    "工作节点上的模型超过本页读取的 {n} 个。完整列表见 GET /v1/models。",
  ],
  versions: ["Versions", "版本"],
});
